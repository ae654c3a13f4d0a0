"""Probabilities by the same network in an engine made for predicting, from pixels that are floats already.

`--backend` is onnxruntime or openvino.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import case
import numpy as np
import predicting


def main() -> None:
    options = case.options()
    x = predicting.test_pictures(options)[0].astype(np.float32) / 255
    threads = options.threads or os.cpu_count() or 1
    make = {"onnxruntime": onnxruntime, "openvino": openvino}[options.backend]
    predict = make(options.work / "predictor" / "network.onnx", threads, options)
    precision = "bf16" if options.precision == "bf16" else "fp32"
    predicting.finish(options, predict, x, precision=precision, threads=threads)


def onnxruntime(file: Path, threads: int, options: argparse.Namespace) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda xb: session.run(None, {name: xb})[0]


def openvino(file: Path, threads: int, options: argparse.Namespace) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if options.precision == "bf16" else "f32",
    }
    request = openvino.compile_model(file, "CPU", settings).create_infer_request()
    return lambda xb: request.infer([xb])[0]


if __name__ == "__main__":
    main()
