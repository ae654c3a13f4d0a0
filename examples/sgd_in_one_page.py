"""A Learner from scratch, in one page of plain PyTorch: it learns to tell handwritten 3s from 7s by the seven steps.

    python examples/sgd_in_one_page.py

A test trains it beside `sevensteps.Learner`, and holds the weights of both equal to the last bit.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def threes_and_sevens() -> tuple[TensorDataset, TensorDataset]:
    """To learn from, and to check on: rows of 64 pixels from 0 to 1, and 1 where they are a 3, 0 where they are a 7."""
    pixels, digits = load_digits(return_X_y=True)
    chosen = (digits == 3) | (digits == 7)
    x = torch.tensor(pixels[chosen] / 16, dtype=torch.float32)
    y = torch.tensor(digits[chosen] == 3, dtype=torch.float32)[:, None]  # a column, as the model's scores are
    fifth = torch.arange(len(x)) % 5 == 0
    return TensorDataset(x[~fifth], y[~fifth]), TensorDataset(x[fifth], y[fifth])


def mnist_loss(preds: Tensor, targets: Tensor) -> Tensor:
    """How much probability the wrong answer got, on average: 0 at best, 1 at worst."""
    probs = preds.sigmoid()  # any score becomes a probability of "it is a 3"
    return torch.where(targets == 1, 1 - probs, probs).mean()


class Learner:
    """Trains `model` on the batches of `train`, and says how well it does on those of `valid`."""

    def __init__(self, train: DataLoader, valid: DataLoader, model: nn.Module, lr: float) -> None:
        self.train, self.valid, self.model, self.lr = train, valid, model, lr  # 1 initialise: torch drew the weights

    def fit(self, epochs: int) -> None:
        for epoch in range(epochs):
            for xb, yb in self.train:  # 6 repeat, with the next batch
                preds = self.model(xb)  # 2 predict
                loss = mnist_loss(preds, yb)  # 3 loss
                loss.backward()  # 4 gradient: how the loss changes with each weight
                with torch.no_grad():  # 5 step: each weight a little downhill
                    for weights in self.model.parameters():
                        weights -= self.lr * weights.grad
                        weights.grad = None  # or the next gradient would be added to this one
            print(f"epoch {epoch + 1:2}: {self.accuracy():.4f} of the validation pictures right")
        # 7 stop: after so many epochs

    @torch.no_grad()
    def accuracy(self) -> float:
        right = [(self.model(xb) > 0) == (yb == 1) for xb, yb in self.valid]  # above 0 it says "a 3"
        return torch.cat(right).float().mean().item()


if __name__ == "__main__":
    torch.manual_seed(0)
    train, valid = threes_and_sevens()
    model = nn.Sequential(nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 1))
    Learner(DataLoader(train, batch_size=32, shuffle=True), DataLoader(valid, batch_size=64), model, lr=0.2).fit(10)
