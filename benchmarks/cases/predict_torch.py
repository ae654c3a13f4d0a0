"""Probabilities by the same network in eager float32 torch, from pixels that are floats already."""

import case
import predicting
import torch


def main() -> None:
    options = case.options()
    case.set_up(options)
    x = torch.from_numpy(predicting.test_pictures(options)[0]).float() / 255
    model = case.load_model(options.work / "predictor" / "model").eval()
    model.to(memory_format=getattr(torch, {"contiguous": "contiguous_format"}.get(options.layout, options.layout)))

    def predict(xb: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return model(xb).softmax(1)

    predicting.finish(options, predict, x)


if __name__ == "__main__":
    main()
