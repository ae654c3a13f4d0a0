"""What the loop asks of the machine: how many threads, which precision, and memory that is kept for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ..devices import available_cores
from ..errors import RequestError

PRECISIONS = ("auto", "fp32", "bf16")
LOOK_SECONDS = 0.03  # how long each number of threads is tried
VALID_SECONDS = 30.0  # how long what was found out is believed
WAITING = 1.4  # times as long: threads meet more often in the small operations of a step than in the trial's
CALM = 2  # so many times the system may take a processor away from us in one look, on a quiet machine
_found: tuple[float, int] | None = None  # when threads were last chosen, and how many


def choose_precision(asked: str, device: torch.device, model: nn.Module) -> str:
    """ "fp32" or "bf16": what was asked for, or what is faster without harm on this device for this model.

    That is bfloat16 for convolutions, on a GPU or a CPU that calculates in it. Raises `RequestError` for another word.
    """
    if asked not in PRECISIONS:
        raise RequestError(f"precision is {asked!r}", hint=f"expected one of {', '.join(PRECISIONS)}")
    if asked != "auto":
        return asked
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
    return "bf16" if able and convolves(model) else "fp32"


def in_fast_layout(model: nn.Module) -> nn.Module:
    """`model` with the weights of its convolutions laid out channels last, which takes half the time of a step."""
    if convolves(model) and not any(isinstance(module, nn.Conv3d) for module in model.modules()):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def compiled(model: nn.Module, device: torch.device) -> Any:
    """`model` with its operations fused by torch's compiler; on a GPU a step is then replayed as CUDA graphs."""
    return torch.compile(model, mode="reduce-overhead" if device.type == "cuda" else None)


def convolves(model: nn.Module) -> bool:
    """Whether convolutions of pictures are what the model spends its time with."""
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def in_precision(precision: str, model: Callable[[Tensor], Any], xb: Tensor) -> Any:
    """`model(xb)` with its products made in `precision`: its weights stay float32, and the preds are float32 again."""
    if precision == "fp32":
        return model(xb)
    with torch.autocast(xb.device.type, torch.bfloat16):
        preds = model(xb)
    return preds.float() if isinstance(preds, Tensor) else preds


@contextmanager
def sound_gradients(model: nn.Module) -> Iterator[None]:
    """Inside the block a convolution with a stride wider than its input is calculated in float32, not bfloat16.

    On a CPU its gradient in bfloat16 is made with memory that nobody has written, and now and then not a number
    (torch 2.13 with oneDNN, AVX-512; seen with 3×3 kernels of stride 2 on pictures that had shrunk to one pixel).
    """
    convolutions = [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and module.stride[1] > 1 and "forward" not in vars(module)
    ]
    try:
        for convolution in convolutions:  # a bound method: in a copy of the model it is the copy's
            vars(convolution)["forward"] = MethodType(_in_float32_where_narrow, convolution)
        yield
    finally:
        for convolution in convolutions:
            vars(convolution).pop("forward", None)


def _in_float32_where_narrow(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    forward = type(convolution).forward
    narrow = x.device.type == "cpu" and x.shape[-1] < convolution.stride[1]
    if not narrow or torch.compiler.is_compiling() or not torch.is_autocast_enabled("cpu"):
        return forward(convolution, x)
    with torch.autocast("cpu", enabled=False):
        return forward(convolution, x.float())


@contextmanager
def at_work(threads: int | None, device: torch.device) -> Iterator[None]:
    """Inside the block torch uses `threads` threads, or as many as serve here and now; after it, as many as before.

    A number that was set before (by `torch.set_num_threads` or OMP_NUM_THREADS) is left as it is.
    """
    before = torch.get_num_threads()
    if threads is None and device.type == "cpu" and before == available_cores() > 1:
        threads = serving_threads(before)
    if device.type == "cpu":
        _keep_memory()
    try:
        if threads and threads != before:
            torch.set_num_threads(threads)
        yield
    finally:
        if threads and threads != before:
            torch.set_num_threads(before)


def serving_threads(most: int) -> int:
    """How many threads, up to `most`, get most done while other programs use the processors too; by a short trial.

    Threads wait for each other at the end of each operation. Where one of them shares its processor with another
    program, all wait for that one, and fewer are faster.
    """
    global _found
    if _found and time.monotonic() - _found[0] < VALID_SECONDS and _found[1] <= most:
        return _found[1]
    before = torch.get_num_threads()
    work = torch.full((most, 65536), 0.3)  # each thread's share takes as long, however many there are
    try:
        chosen, looks = most, [_look(most, work)]
        if looks[0][1] > CALM:  # perhaps only in passing
            looks += [_look(most, work) for _ in range(3)]
        if sum(disturbed > CALM for _, disturbed in looks) > 1:
            seconds = WAITING * sum(seconds for seconds, _ in looks) / len(looks)
            for fewer in sorted({most - 1, most - 2, most - 4, most // 2, 1} - {most}, reverse=True):
                if fewer > 0 and (trial := _look(fewer, work)[0]) < 1.1 * seconds:
                    chosen, seconds = fewer, trial
    finally:
        torch.set_num_threads(before)
    _found = time.monotonic(), chosen
    return chosen


def _look(threads: int, work: Tensor) -> tuple[float, int]:
    """Seconds that a small operation takes with so many threads, and how often the system interrupted us."""
    torch.set_num_threads(threads)
    torch.lgamma(work)
    before, started, done = _interruptions(), time.perf_counter(), 0
    while (taken := time.perf_counter() - started) < LOOK_SECONDS:
        torch.lgamma(work)
        done += 1
    return taken / done, _interruptions() - before


def _interruptions() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _keep_memory() -> None:
    """Tell glibc to keep what is freed: else every step gives its activations back to the system, and gets them anew.

    On other systems nothing is done. Costs no memory beyond what the largest step took.
    """
    if sys.platform == "linux" and "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt:
            trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
            mallopt(trim_threshold, 2**31 - 1)
            mallopt(mmap_threshold, 2**30)
