"""Lets torchvision be imported where its compiled part does not load. Import this before torchvision or fastai.

The compiled part of torchvision's wheel is linked against torch's CUDA build. Beside the CPU build of torch it does
not load, and then torchvision's own import fails: it describes the results of two operators that nobody has declared
("operator torchvision::nms does not exist"). Declaring them is enough. None of the cases calls them, or anything else
that is compiled: ImageFolder, the transforms of Pillow pictures and fastai are plain Python over Pillow and torch.
"""

import importlib.util
from pathlib import Path

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def loads() -> bool:
    """Whether torchvision's compiled part loads beside this torch."""
    found = importlib.util.find_spec("torchvision")  # finds it without importing it
    compiled = [file for file in Path(found.origin).parent.glob("_C*") if file.suffix in (".so", ".pyd")]
    try:
        for file in compiled:
            torch.ops.load_library(str(file))
    except OSError:
        return False
    return bool(compiled)


def declare() -> torch.library.Library:
    """Declare the operators, without any code behind them."""
    library = torch.library.Library("torchvision", "DEF")
    for operator in OPERATORS:
        library.define(operator)
    return library  # what it declares is gone when it is


library = None if loads() else declare()
