"""Turn the exported program of `predictor_train.py` into `predictor/network.onnx`. Not timed."""

import case
import torch


def main() -> None:
    options = case.options()
    folder = options.work / "predictor"
    program = torch.export.load(folder / "network.pt2")
    torch.onnx.export(program, (), folder / "network.onnx", dynamo=True, external_data=False)
    case.finish({})


if __name__ == "__main__":
    main()
