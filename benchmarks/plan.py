"""What is measured: the targets, who takes part in each, and which settings each of them may choose from.

A `Target` is one comparison. Each of its entries is one script of `cases/`, run in a process of its own in the
environment of its rival. `run.py` first finds the best of the settings in `choices` for an entry, then runs all entries
of a target by turns, round after round.
"""

from __future__ import annotations

import os
from dataclasses import replace

from target import OURS, Choices, Entry, Figure, Options, Target

CORES = os.cpu_count() or 1

WORKERS: Choices = {"workers": tuple(sorted({0, 1, 2, CORES}))}
THREADS: Choices = {"threads": tuple(sorted({CORES, 1}, reverse=True))}
PRECISION: Choices = {"precision": ("fp32", "bf16")}
MEMORY: Choices = {"memory": ("system", "kept")}  # "Switch Memory allocator" in PyTorch's Performance Tuning Guide
TUTORIAL: Choices = {**WORKERS, **THREADS}
TUNED: Choices = {**PRECISION, **MEMORY, **WORKERS, **THREADS}
BACKEND: Choices = {"backend": ("tensorflow", "jax", "torch")}


def chapter_4() -> Target:
    return Target(
        "1",
        "Chapter 4 of fastbook as a whole, wall time of a fresh process",
        (
            Entry(OURS, "no cache", "chapter4_sevensteps"),
            Entry(OURS, "cache", "chapter4_sevensteps", cache="filled"),
            Entry("fastai", "as in the chapter", "chapter4_fastai", "fastai", choices=TUTORIAL),
        ),
        (Figure("wall", "Wall time of the process", drawn="chapter 4, as a whole"),),
        compare=(f"{OURS}, no cache", f"{OURS}, cache"),
        quick={"short": True},
        accuracy=0.97,
    )


def step(number: str, network: str, title: str, drawn: str, epochs: int, search: Options, accuracy: float) -> Target:
    options = {"network": network, "epochs": epochs}
    tutorial, tuned = options | {"variant": "tutorial"}, options | {"variant": "tuned"}
    compiled = options | {"variant": "compiled"}
    return Target(
        number,
        title,
        (
            Entry(OURS, "default", "step_sevensteps", options=options),
            Entry(OURS, 'precision="fp32"', "step_sevensteps", options=options | {"precision": "fp32"}),
            Entry("PyTorch", "as its tutorial", "step_torch", options=tutorial, choices=TUTORIAL),
            Entry("PyTorch", "tuned", "step_torch", options=tuned, choices=TUNED),
            Entry("PyTorch", "tuned and compiled", "step_torch", options=compiled, choices=TUNED),
            Entry("fastai", "as its tutorial", "step_fastai", "fastai", options=tutorial, choices=TUTORIAL),
            Entry("fastai", "tuned", "step_fastai", "fastai", options=tuned, choices=TUNED),
            Entry("Lightning", "as its tutorial", "step_lightning", "lightning", options=tutorial, choices=TUTORIAL),
            Entry("Lightning", "tuned", "step_lightning", "lightning", options=tuned, choices=TUNED),
            Entry("Keras", "as its tutorial", "step_keras", "keras", options=tutorial, choices={**BACKEND, **THREADS}),
            Entry("Keras", "tuned", "step_keras", "keras", options=tuned, choices={**BACKEND, **PRECISION, **THREADS}),
        ),
        (Figure("step", "Seconds a step", drawn=drawn),),
        compare=(f"{OURS}, default",),
        search=search,
        quick=search,
        accuracy=accuracy,
    )


def pictures(number: str, source: str, title: str, figures: tuple[Figure, ...], epochs: int, accuracy: float) -> Target:
    options = {"source": source, "epochs": epochs}
    fewer = {"epochs": 1} if epochs else {"source": f"{source}_few"}
    tutorial, tuned = options | {"variant": "tutorial"}, options | {"variant": "tuned"}
    return Target(
        number,
        title,
        (
            Entry(OURS, "no cache", "pictures_sevensteps", options=options),
            Entry(OURS, "cache", "pictures_sevensteps", options=options, cache="filled"),
            Entry("fastai", "as its tutorial", "pictures_fastai", "fastai", options=tutorial, choices=TUTORIAL),
            Entry("fastai", "tuned", "pictures_fastai", "fastai", options=tuned, choices=TUNED),
            Entry(
                "torchvision", "as its tutorial", "pictures_torchvision", "fastai", options=tutorial, choices=TUTORIAL
            ),
            Entry("torchvision", "tuned", "pictures_torchvision", "fastai", options=tuned, choices=TUNED),
        ),
        figures,
        compare=(f"{OURS}, no cache", f"{OURS}, cache"),
        search=fewer,
        quick=fewer,
        accuracy=accuracy,
    )


def flowers_data_alone() -> Target:
    options = {"source": "flowers", "epochs": 3, "variant": "data"}
    return Target(
        "5b",
        "Flowers, the data path alone: a loop over the batches, no model",
        (
            Entry(OURS, "no cache", "pictures_sevensteps", options=options),
            Entry(OURS, "cache", "pictures_sevensteps", options=options, cache="filled"),
            Entry("fastai", "data alone", "pictures_fastai", "fastai", options=options, choices=WORKERS),
            Entry("torchvision", "data alone", "pictures_torchvision", "fastai", options=options, choices=WORKERS),
        ),
        (Figure("first", "Making the loaders and the first pass"), Figure("later", "A later pass")),
        compare=(f"{OURS}, no cache", f"{OURS}, cache"),
        search={"epochs": 1},
        quick={"epochs": 1},
    )


def first_update() -> Target:
    return Target(
        "6",
        "MNIST_SAMPLE from its folder: process start to the first update of the weights",
        (
            Entry(OURS, "no cache", "first_update_sevensteps"),
            Entry(OURS, "cache", "first_update_sevensteps", cache="filled"),
            Entry("fastai", "as its tutorial", "first_update_fastai", "fastai", choices=TUTORIAL),
        ),
        (Figure("first_update", "Process start to the first update", drawn="start to first update"),),
        compare=(f"{OURS}, no cache", f"{OURS}, cache"),
    )


def digits() -> Target:
    return Target(
        "7",
        "MNIST's ten digits by `sevensteps train`, nothing chosen: one seed a round",
        (Entry(OURS, "default", "digits"),),
        (
            Figure("accuracy", "Test accuracy, n = 10,000", "%"),
            Figure("training", "Training, the epochs with their validation"),
            Figure("seconds", "From reading to the saved model"),
        ),
        quick={"short": True},
        seeds=True,
    )


def busy_neighbour() -> Target:
    ours = {"network": "cnn", "epochs": 1, "pictures": 20_480}
    torch = ours | {"variant": "tuned"}
    return Target(
        "8",
        "The CNN's step beside one busy foreign process",
        (
            Entry(OURS, "quiet", "step_sevensteps", options=ours),
            Entry(OURS, "busy", "step_sevensteps", options=ours, busy=1),
            Entry("PyTorch", "tuned, quiet", "step_torch", options=torch, choices=TUNED),
            Entry("PyTorch", "tuned, busy", "step_torch", options=torch, choices=TUNED, busy=1),
            Entry(
                "PyTorch",
                "tuned, busy, one thread",
                "step_torch",
                options=torch,
                choices={**TUNED, "threads": (1,)},
                busy=1,
            ),
        ),
        (Figure("step", "Seconds a step"),),
        compare=(f"{OURS}, quiet", "PyTorch, tuned, quiet"),
        search={"pictures": 10_240},
        quick={"pictures": 10_240},
    )


def by_hand() -> Target:
    cnn, mlp = {"network": "cnn", "epochs": 5, "pictures": 20_480}, {"network": "mlp", "epochs": 40}
    return Target(
        "9",
        "The Learner against the same loop by hand",
        (
            Entry("CNN", "default precision", "by_hand", options=cnn),
            Entry("CNN", "fp32", "by_hand", options=cnn | {"precision": "fp32"}),
            Entry("MLP", "default precision", "by_hand", options=mlp),
        ),
        (
            Figure("learner", "Learner, a step"),
            Figure("by_hand", "by hand with sevensteps' optimizer, a step"),
            Figure("by_hand_fused", "by hand with torch's fused optimizer, a step"),
            Figure("difference", "what the Learner adds to the first, a step"),
            Figure("percent", "the same in percent", "%"),
        ),
        quick={"epochs": 2, "pictures": 5_120},
    )


def memory() -> Target:
    return Target(
        "10",
        "Memory to load MNIST's 70,000 pictures, above that after the imports",
        (
            Entry(OURS, "IDX files", "memory", options={"source": "mnist"}),
            Entry(OURS, "PNG files, no cache", "memory", options={"source": "mnist_png"}),
            Entry(OURS, "PNG files, cache", "memory", options={"source": "mnist_png"}, cache="filled"),
        ),
        (
            Figure("times_pixels", "growth at its peak, in times the pixels' bytes", "×"),
            Figure("grown", "growth at its peak", "bytes"),
            Figure("pixels", "the pixels", "bytes"),
            Figure("children", "peaks of the processes that it started", "bytes"),
        ),
    )


def prediction(number: str, batch_size: int, title: str, drawn: str) -> Target:
    layouts: Choices = {"layout": ("contiguous", "channels_last")}
    options = {"batch_size": batch_size}
    return Target(
        number,
        title,
        (
            Entry(OURS, "Predictor", "predict_sevensteps", options=options),
            Entry("PyTorch", "eager float32", "predict_torch", options=options, choices={**layouts, **THREADS}),
            Entry(
                "ONNX Runtime",
                "float32",
                "predict_engine",
                "infer",
                options=options | {"backend": "onnxruntime"},
                choices=THREADS,
            ),
            Entry(
                "OpenVINO",
                "latency hint",
                "predict_engine",
                "infer",
                options=options | {"backend": "openvino"},
                choices={**PRECISION, **THREADS},
            ),
        ),
        (Figure("call", "Seconds a call", drawn=drawn),),
        compare=(f"{OURS}, Predictor",),
        before=(
            Entry(OURS, "train the model", "predictor_train"),
            Entry("PyTorch", "export the model", "predictor_export", "infer"),
        ),
        search={"short": True},
        quick={"short": True},
        accuracy=0.95,
    )


GOALS = {
    "1": "at least 5 times as fast as fastai",
    "2": "at least 3 times as fast as PyTorch as its tutorial, 3.3 fastai, 4 Keras, 3 Lightning; at float32 1.7",
    "3": "at least 3 times as fast as PyTorch as its tutorial, 5 fastai, 5 Keras, 4 Lightning",
    "4": "at least 5 times as fast without a cache, 7 with it",
    "5": "at least 2 times as fast in the first epoch, 8 in later ones",
    "6": "at most 2.5 s, and 5 times as fast as fastai",
    "7": "99.2 % in at most 6 s of training, 99.45 % in at most 15 s; the mean of 10 seeds",
    "8": "at most 1.5 times the quiet step",
    "9": "less than 1 % on the CNN, less than 30 µs a step on the MLP",
    "10": "at most 1.3 times the pixels",
    "11": "at least 5 times as fast as eager float32",
    "11b": "at least 5 times as fast as eager float32",
}


def targets() -> list[Target]:
    """All targets, in order, each with what it is to show."""
    return [replace(target, goal=GOALS.get(target.number, "")) for target in _targets()]


def _targets() -> list[Target]:
    cold = Figure("cold_start", "Process start to the end of the first epoch", drawn="60,000 PNG files, first epoch")
    return [
        chapter_4(),
        step(
            "2",
            "cnn",
            "One training step of a small CNN on MNIST, batch 256",
            "a training step, small CNN",
            epochs=1,
            search={"pictures": 10_240},
            accuracy=0.96,
        ),
        step(
            "3",
            "mlp",
            "One training step of the 784-30-1 network on MNIST_SAMPLE, batch 256",
            "a training step, 784-30-1",
            epochs=30,
            search={"epochs": 10},
            accuracy=0.96,
        ),
        pictures(
            "4",
            "mnist_png",
            "60,000 PNG files in folders: process start to the end of the first epoch, small CNN, batch 256",
            (cold,),
            epochs=0,
            accuracy=0.9,
        ),
        pictures(
            "5",
            "flowers",
            "400 photographs (JPEG) at 128 px, small residual network, batch 32",
            (
                Figure("first", "The first epoch, from after the imports", drawn="photographs, first epoch"),
                Figure("later", "A later epoch", drawn="photographs, later epochs"),
            ),
            epochs=3,
            accuracy=0.0,
        ),
        flowers_data_alone(),
        first_update(),
        digits(),
        busy_neighbour(),
        by_hand(),
        memory(),
        prediction("11", 1, "Prediction by a saved model, MNIST, one picture at a time", "prediction, 1 picture"),
        prediction("11b", 64, "Prediction by a saved model, MNIST, 64 pictures at a time", "prediction, 64 pictures"),
    ]
