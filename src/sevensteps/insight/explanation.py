"""Why this answer? What a run makes of one picture, what that looks like to it, and what would have shown it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.dataloader import DataLoader
from ..data.preprocessing import as_input
from ..errors import ModelFolderError, RequestError
from ..models.model_folder import ModelFolder
from ..models.pixel_similarity import PixelSimilarity
from ..models.predictor import Predictor
from ..words import finite, percent, plural, visible
from .calibration import Temperature, fit_temperature, probabilities
from .features import batch_size
from .follow import AfterEpoch, Follow, Found, find_picture, turns
from .influence import Influences, influences
from .neighbours import Neighbour, Neighbours, archetype_distances, neighbours
from .replay import Replay
from .saliency import Attributions, attributions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LRS: tuple[float, ...] = tuple(10.0 ** (power / 4) for power in range(-20, 5))  # 1e-5 to 10, four to a decade


@dataclass(frozen=True, eq=False)
class Explanation:
    """One picture, and the answer that the run's kept model gives.

    `probs` are its probabilities (float64, of the classes), `calibrated` the same at the temperature that was fitted on
    the validation set. `archetypes` are distances by class, nearest first; `nearest` the pixels (uint8, K×C×H×W) of the
    training pictures that it is most like, which `most_like` names; `epochs` what it was called after each epoch of the
    training, made again, and `kept_after` the epoch whose weights were those of the kept model to the last bit (None if
    there is none: `why` says why); `turning_lr` the least learning rate at which one step on this picture alone turns a
    wrong answer right, None for a right answer, an unknown class, or where none up to 10 does.
    """

    found: Found
    vocab: Sequence[str]
    probs: Tensor
    calibrated: Tensor
    temperature: Temperature
    archetypes: dict[str, float]
    neighbours: Neighbours
    nearest: Tensor
    influences: Influences | None
    attributions: Attributions
    epochs: list[AfterEpoch]
    kept_after: int | None
    why: str
    turning_lr: float | None

    @property
    def called(self) -> str:
        """The class that it is called."""
        return self.vocab[int(self.probs.argmax())]

    @property
    def true(self) -> str | None:
        """Its class, where that is known."""
        return None if self.found.true is None else self.vocab[self.found.true]

    @property
    def is_right(self) -> bool | None:
        """Whether it is called what it is."""
        return None if self.true is None else self.called == self.true

    @property
    def most_like(self) -> list[Neighbour]:
        """The training pictures nearest to it: by the network's features where it has some, else by pixels."""
        return self.neighbours.features or self.neighbours.pixels

    @property
    def would_have_shown_it(self) -> list[str]:
        """What another epoch, learning rate or other data would have made of it, a sentence each."""
        return [sentence for sentence in (self._by_epoch(), self._by_lr(), self._by_data()) if sentence]

    def _by_epoch(self) -> str:
        if self.true is None:
            return ""
        learned, forgotten = turns(self.epochs)
        right = [row for row in self.epochs if row.right and row.epoch]
        if not right:
            return "epoch: it was wrong after every one"
        best = max(right, key=lambda row: row.probability)
        lost = f", forgotten in epoch {', '.join(map(str, forgotten))}" if forgotten else ""
        after = f"learned in epoch {', '.join(map(str, learned))}"
        return f"epoch: {after}{lost}; surest of it after epoch {best.epoch}, with {percent(best.probability)}"

    def _by_lr(self) -> str:
        if self.is_right is not False:
            return ""
        if self.turning_lr is None:
            return "learning rate: no single step on this picture alone, up to a rate of 10, turns the answer"
        return f"learning rate: one step on this picture alone turns the answer from a rate of {self.turning_lr:.2g} on"

    def _by_data(self) -> str:
        near = self.most_like
        classes = Counter(one.true for one in near)
        told = ", ".join(f"{n} are of class {visible(name)}" for name, n in classes.most_common())
        advice = ""
        if self.true is not None and not self.is_right and classes[self.true] < len(near):
            advice = f": more pictures of {visible(self.true)} that look like this one would show it"
        return f"data: of the {plural(len(near), 'training picture')} that it is most like, {told}{advice}"

    def __str__(self) -> str:
        from .explanation_text import explanation_text

        return explanation_text(self)

    def figure(self) -> Figure:
        """All of it as one picture."""
        from .explanation_figure import explanation_figure

        return explanation_figure(self)

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON; of the attributions how complete they are, of pixels none."""
        learned, forgotten = turns(self.epochs)
        document: dict[str, Any] = finite({
            "picture": self.found.name, "split": self.found.split, "class": self.true, "known_by": self.found.known_by,
            "called": self.called, "right": self.is_right,
            "probabilities": dict(zip(self.vocab, self.probs.tolist(), strict=True)),
            "calibrated": dict(zip(self.vocab, self.calibrated.tolist(), strict=True)),
            "temperature": self.temperature.value, "archetypes": self.archetypes,
            "neighbours": self.neighbours.to_dict(), "influences": self.influences and self.influences.to_dict(),
            "attributions": {"score": self.attributions.score, "score_of_black": self.attributions.black_score,
                             "completeness_error": self.attributions.completeness_error},
            "epochs": [row._asdict() for row in self.epochs], "exact": self.kept_after is not None,
            "why": self.why, "kept_after": self.kept_after, "learned_in": learned, "forgotten_in": forgotten,
            "turning_lr": self.turning_lr, "would_have_shown_it": self.would_have_shown_it,
        })  # fmt: skip
        return document


def explain(replay: Replay, asked: str) -> Explanation:
    """What the run makes of the picture `asked`: a file, or a name as its predictions.csv has them.

    The training is made again to follow the picture through it, which takes as long as it took. Raises `RequestError`
    where there is no such picture, or no model yet; `RefusedPicture` for a file that cannot be read.
    """
    plan, vocab = replay.plan, replay.plan.dls.vocab or []
    found = find_picture(asked, plan)
    try:
        folder, similarity = ModelFolder.load(replay.folder.model), ModelFolder.load(replay.folder.baseline)
    except ModelFolderError as error:
        raise RequestError(
            f"the run has no model yet: {error.message}", hint="train --resume goes on with it"
        ) from error
    model, baseline = folder.model, similarity.model
    folder.check_same(plan.network(0), list(vocab), plan.preprocessing, str(replay.folder.model))
    if not isinstance(baseline, PixelSimilarity) or similarity.classes != list(vocab):
        raise RequestError(f"{replay.folder.baseline} is not of this run", hint="train again")
    baseline.vocab = list(vocab)
    x = as_input(found.pixels)
    predictor, valid = Predictor(folder, "cpu"), plan.dls.splits["valid"].collection
    preds = predictor.preds(x[None])
    answers = torch.cat([predictor.preds(xb) for xb, _ in DataLoader(valid, batch_size(x))])
    temperature = fit_temperature(answers, valid.labels)
    follow = Follow(found, vocab, model)
    replay.train([follow])
    called, train = int(preds[0].argmax()), plan.dls.splits["train"].collection
    near = neighbours(model, train, x, vocab)
    numbers = [one.index for one in near.features or near.pixels]
    return Explanation(
        found=found,
        vocab=vocab,
        probs=probabilities(preds)[0],
        calibrated=probabilities(preds, temperature.value)[0],
        temperature=temperature,
        archetypes=archetype_distances(baseline, x),
        neighbours=near,
        nearest=train.pixels_of(torch.tensor(numbers, dtype=torch.int64)),
        influences=influences(model, train, x, called, vocab),
        attributions=attributions(model, x, called),
        epochs=follow.rows,
        kept_after=follow.kept_after,
        why="" if follow.kept_after else replay.why_other("its model changed"),
        turning_lr=None if found.true in (None, called) else turning_lr(model, x, found.true),
    )


def turning_lr(model: nn.Module, x: Tensor, label: int) -> float | None:
    """The least rate of `LRS` at which a step along the gradient of this picture alone (C×H×W) makes it `label`."""
    trial = copy.deepcopy(model).eval()
    trained = [p for p in trial.parameters() if p.requires_grad]  # those that are not frozen
    weights = [p.detach().clone() for p in trained]
    loss = F.cross_entropy(trial(x[None]), torch.tensor([label]))
    grads = torch.autograd.grad(loss, trained, allow_unused=True)
    with torch.no_grad():
        for lr in LRS:
            for p, weight, grad in zip(trained, weights, grads, strict=True):
                if grad is not None:
                    p.copy_(weight - lr * grad)
            if int(trial(x[None])[0].argmax()) == label:
                return lr
    return None
