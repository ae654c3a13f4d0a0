"""How a trained model answers fastest: its batch norms folded into its convolutions, and by ONNX Runtime where it is
installed (the extra `onnx`) and faster.
"""

from __future__ import annotations

import copy
import io
import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..randomness import generator

Engine = Callable[[Tensor], Tensor]
TRIALS = 5


def make_engine(model: nn.Module, device: torch.device, input_shape: Sequence[int]) -> tuple[str, Engine]:
    """What gives a model's preds for `xb` (float32, N×`input_shape`), and its name: "torch" or "onnxruntime".

    The preds are the model's own in evaluation mode, but for the last bits: sums are made in another order.
    """
    folded = fold_batch_norms(model.eval()).to(device)

    def by_torch(xb: Tensor) -> Tensor:
        with torch.inference_mode():
            preds: Tensor = folded(xb.to(device))
        return preds.cpu()

    example = torch.zeros(1, *input_shape)
    by_onnx = _onnx_engine(folded, example) if device.type == "cpu" and find_spec("onnxruntime") else None
    if by_onnx and _agree(by_onnx, by_torch, input_shape) and _seconds(by_onnx, example) < _seconds(by_torch, example):
        return "onnxruntime", by_onnx
    return "torch", by_torch


def fold_batch_norms(model: nn.Module) -> nn.Module:
    """A copy in which each batch norm after a convolution has become part of its weights.

    Also with a max pooling between them, as long as the batch norm turns no greatest value into the least.
    """
    model = copy.deepcopy(model)
    for sequence in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for at, (first, second) in enumerate(itertools.pairwise([*sequence, nn.Identity()])):
            pooled = isinstance(second, nn.MaxPool2d)
            norm = sequence[at + 2] if pooled and at + 2 < len(sequence) else second
            if type(first) is not nn.Conv2d or not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
                continue
            if pooled and norm.affine and not bool((norm.weight > 0).all()):
                continue
            sequence[at] = fuse_conv_bn_eval(first, norm)
            sequence[at + 1 + pooled] = nn.Identity()
    return model


def _onnx_engine(model: nn.Module, example: Tensor) -> Engine | None:
    import onnxruntime

    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the older exporter, which takes a fifth of a second, not ten
            torch.onnx.export(
                model, (example.repeat(2, *[1] * (example.ndim - 1)),), file, dynamo=False,  # type: ignore[arg-type]
                input_names=["xb"], output_names=["preds"], dynamic_axes={"xb": {0: "n"}, "preds": {0: "n"}},
            )  # fmt: skip
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        session: Any = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    except Exception:  # a layer that ONNX does not know: whatever torch and ONNX Runtime say of it
        return None
    return lambda xb: torch.from_numpy(session.run(None, {"xb": xb.numpy()})[0])


def _agree(one: Engine, other: Engine, input_shape: Sequence[int]) -> bool:
    """Whether both give the same for a few batches: an export follows one way through a model that may have several."""
    try:
        return all(
            torch.allclose(one(xb), other(xb), rtol=1e-3, atol=1e-4)
            for xb in (
                torch.zeros(1, *input_shape),
                torch.ones(2, *input_shape),
                torch.rand(5, *input_shape, generator=generator(0, "engine")),
            )
        )
    except Exception:  # a model that takes no batch but that of the export
        return False


def _seconds(engine: Engine, example: Tensor) -> float:
    """The least of several trials, after one that does not count."""
    engine(example)
    taken = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        engine(example)
        taken.append(time.perf_counter() - started)
    return min(taken)
