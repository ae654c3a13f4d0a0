"""A run whose figures can be counted by hand: the main job's on 35 tiny pictures, with answers written down here.

A picture is of one brightness: dark is like the mean of a, grey of b, white of c. So pixel similarity's answers are
known too. A string has a letter a picture, as in `TRUTHS`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sevensteps.models.evaluation import Evaluation
from sevensteps.training.recorder import EpochRow
from sevensteps.training.result import Scored, TrainingResult
from sevensteps.training.run_folder import RunFolder
from sevensteps.training.train import train

BRIGHTNESS = {"a": 0, "b": 128, "c": 255}
TRUTHS = {"train": "aabbbcccc", "valid": "abbbcc", "test": "aaaaaaaaaabbbbbbcccc"}
BASELINE = {"train": "aabbbcccc", "valid": "abcaba", "test": "bbbcaaaaacacbbbaabcc"}  # 2 and 10 right
VALID = "abbbca"  # 5 right
BETTER = "aaaaaaaabbbbbbbccccc"  # 17 right: 8 that the baseline has wrong, and wrong where it is right in 1
UNSURE = "aaaaaaaabbbbbbbccacc"  # 16 right: 7 and 1
WORSE = "abbbabbbbbaabaaaaaaa"  # 3 right: 1 and 8
EPOCHS = [
    EpochRow(1, 2.0, 1.5, {"accuracy": 0.25}, 1.0, 9.0),
    EpochRow(2, 0.75, 1.0, {"accuracy": 0.75}, 1.0, 9.0),
    EpochRow(3, 0.25, 1.25, {"accuracy": 0.5}, 1.0, 9.0),
]


def known_result(root: Path) -> TrainingResult:
    """The run, in a folder inside `root`, with the answers `BETTER`; epoch 2 is its best."""
    for split, truths in TRUTHS.items():
        for number, (true, like) in enumerate(zip(truths, BASELINE[split], strict=True)):
            folder = root / "pictures" / split / true
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), BRIGHTNESS[like], np.uint8)).save(folder / f"{number:02}.png")
    result = train(root / "pictures", model="linear", epochs=1, threads=1, out=root / "runs")
    return replace(answering(result, BETTER), epochs=EPOCHS, best_epoch=2)


def answering(result: TrainingResult, answers: str) -> TrainingResult:
    """The same with other answers to the test pictures."""
    return replace(result, scored={"valid": _scored("valid", VALID), "test": _scored("test", answers)})


def known_runs(root: Path) -> list[Path]:
    """The folders of four finished runs on the same pictures, of which the second has the best answers.

    Pictures that only the one and only the best has right: 1 and 8 for the first, 0 and 14 for the third, 0 and 1 for
    the fourth.
    """
    result = known_result(root)
    runs = {
        "similar": (BASELINE["test"], EPOCHS[:1]), "best": (BETTER, EPOCHS), "worst": (WORSE, EPOCHS[:2]),
        "near": (UNSURE, EPOCHS[1:]),
    }  # fmt: skip
    for name, (answers, epochs) in runs.items():
        folder = RunFolder(shutil.copytree(result.run.path, root / name))
        replace(answering(result, answers), run=folder, epochs=epochs).write()
    return [root / name for name in runs]


def _scored(split: str, answers: str) -> Scored:
    said, true = (torch.tensor(["abc".index(letter) for letter in letters]) for letters in (answers, TRUTHS[split]))
    return Scored(4 * torch.eye(3)[said], true, Evaluation.of(said, true, ["a", "b", "c"]))
