"""The exhibits: a question of chapter 4's questionnaire, its answer, the code that shows it.

In: pictures, the user's own or the embedded digits. Out: findings and a figure.
May import: `report`, `insight`, `training`, `models`, `data`, and what lies below them.
"""
