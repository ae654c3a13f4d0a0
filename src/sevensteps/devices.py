"""Where tensors live: the device that the user names, or the best that the machine has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import RequestError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """The device called `name`; "auto" is the GPU where there is one. Raises `RequestError` if it is not there."""
    import torch

    name = str(name)
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
    kind = name.partition(":")[0]
    unknown = RequestError(f"no device is called {name!r}", hint=f"expected one of {', '.join(DEVICES)}")
    if kind not in there:
        raise unknown
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise unknown from error
    if not there[kind]:
        found = ", ".join(device for device, is_there in there.items() if is_there)
        raise RequestError(f"this machine has no {name} device that torch can use", hint=f"it has: {found}")
    if kind == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        found = ", ".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        raise RequestError(f"this machine has no {name}", hint=f"it has: {found}")
    return device


def sent(tensor: Tensor, device: torch.device | None) -> Tensor:
    """`tensor` on a device of this kind, if one is named. To a GPU it goes from pinned memory: nobody waits for it."""
    if device is None or tensor.device.type == device.type:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
