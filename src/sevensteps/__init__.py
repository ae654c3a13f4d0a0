"""Train a picture classifier, and see every step of it learning."""
