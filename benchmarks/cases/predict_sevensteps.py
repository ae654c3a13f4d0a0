"""Probabilities by a saved model: `Predictor(folder).probabilities(pixels)`, from uint8 pixels."""

import case
import predicting
import torch

from sevensteps import Predictor


def main() -> None:
    options = case.options()
    case.set_up(options)
    pixels = torch.from_numpy(predicting.test_pictures(options)[0])
    predictor = Predictor(options.work / "predictor" / "model")
    predicting.finish(options, predictor.probabilities, pixels, precision=str(getattr(predictor, "precision", "fp32")))


if __name__ == "__main__":
    main()
