"""Networks by name, the pixel-similarity baseline, and the folder that a trained model is handed over in.

In: the shape of an input and the number of classes. Out: an `nn.Module` that maps `xb` (float32, N×C×H×W, pixels
0 to 1) to `preds` (float32, N×classes, raw scores); a model folder; a `Predictor`.
May import: `data`, `distributed`, `interval`, `randomness`, `files`, `errors`.
"""
