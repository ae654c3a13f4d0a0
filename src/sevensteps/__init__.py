"""Train a picture classifier, and see every step of it learning.

The names below are the public surface; each is imported when it is first used, so that importing sevensteps costs
almost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.dataloader import DataLoader as DataLoader
    from .data.dataloaders import DataLoaders as DataLoaders
    from .data.preprocessing import Preprocessing as Preprocessing
    from .errors import DataError as DataError
    from .errors import RefusedPicture as RefusedPicture
    from .errors import RequestError as RequestError
    from .errors import SevenStepsError as SevenStepsError
    from .interval import Accuracy as Accuracy
    from .models import networks as networks
    from .models.evaluation import Evaluation as Evaluation
    from .models.pixel_similarity import PixelSimilarity as PixelSimilarity
    from .models.predictor import Prediction as Prediction
    from .models.predictor import Predictor as Predictor
    from .training.callbacks import Callback as Callback
    from .training.callbacks import CancelBatchException as CancelBatchException
    from .training.callbacks import CancelEpochException as CancelEpochException
    from .training.callbacks import CancelFitException as CancelFitException
    from .training.learner import Learner as Learner
    from .training.losses import l1 as l1
    from .training.losses import mnist_loss as mnist_loss
    from .training.losses import mse as mse
    from .training.losses import rmse as rmse
    from .training.metrics import accuracy as accuracy
    from .training.metrics import batch_accuracy as batch_accuracy
    from .training.metrics import error_rate as error_rate
    from .training.optimizers import SGD as SGD
    from .training.optimizers import AdamW as AdamW
    from .training.optimizers import BasicOptim as BasicOptim
    from .training.train import train as train

__version__ = "0.1.0"

_HOMES = {
    "SGD": "training.optimizers",
    "Accuracy": "interval",
    "AdamW": "training.optimizers",
    "BasicOptim": "training.optimizers",
    "Callback": "training.callbacks",
    "CancelBatchException": "training.callbacks",
    "CancelEpochException": "training.callbacks",
    "CancelFitException": "training.callbacks",
    "DataError": "errors",
    "DataLoader": "data.dataloader",
    "DataLoaders": "data.dataloaders",
    "Evaluation": "models.evaluation",
    "Learner": "training.learner",
    "PixelSimilarity": "models.pixel_similarity",
    "Prediction": "models.predictor",
    "Predictor": "models.predictor",
    "Preprocessing": "data.preprocessing",
    "RefusedPicture": "errors",
    "RequestError": "errors",
    "SevenStepsError": "errors",
    "accuracy": "training.metrics",
    "batch_accuracy": "training.metrics",
    "error_rate": "training.metrics",
    "l1": "training.losses",
    "mnist_loss": "training.losses",
    "mse": "training.losses",
    "networks": "models",
    "rmse": "training.losses",
    "train": "training.train",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sevensteps' has no attribute {name!r}")
    home = importlib.import_module(f".{_HOMES[name]}", __name__)
    return importlib.import_module(".models.networks", __name__) if name == "networks" else getattr(home, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
