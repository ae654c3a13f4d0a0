"""All ten digits, where chapter 4 of fastbook stops at two: its "further research", from pixels to a convnet.

    python examples/ten_digits.py        # scikit-learn's digits of 8 × 8 pixels, no download
    python examples/ten_digits.py mnist  # or a folder with MNIST's four IDX files

Takes some seconds, or half a minute for MNIST on two cores.
"""

import sys

import torch

from sevensteps import Accuracy, DataLoaders, Learner, PixelSimilarity, networks

dls = DataLoaders.from_source(sys.argv[1] if len(sys.argv) > 1 else None)
print(f"{dls.train.n:,} pictures of {len(dls.vocab)} digits to learn from, {dls.valid.n:,} to check on\n")

# -- The baseline: which of ten average pictures is nearest? ----------------------------------------------------------

# Guessing is right for a tenth now, not for half, and a picture has nine ways to go wrong. The root of the mean squared
# difference lets one pixel that is far off count for more than many that are a little off, and does better here.

for distance in ("l1", "rmse"):
    evaluation = PixelSimilarity(distance).fit(dls.train).evaluate(dls.valid)
    print(f"pixel similarity by {distance + ':':15} {evaluation}")

# -- The loss: from one score to ten ----------------------------------------------------------------------------------

# `mnist_loss` takes one score a picture: a sigmoid makes it the probability of a 3, and what is left is that of a 7.
# One score cannot choose among ten digits, so a model gives ten. Ten sigmoids would not do: they may all say "yes", or
# all "no". A softmax makes the scores compete: the exponential of each is divided by the sum of all ten, so that each
# comes out between 0 and 1, and all of them add up to 1.

scores = torch.tensor([1.0, 3.0, 0.5, 2.0, 0.0, -1.0, 0.0, 1.0, -2.0, 0.0], requires_grad=True)
probs = scores.exp() / scores.exp().sum()  # the same as scores.softmax(0)
print(f"\nafter softmax ten scores are {', '.join(f'{p:.2f}' for p in probs)}; their sum is {probs.sum():.2f}")

# `mnist_loss` averages 1 - probability of what is right. Its slope is nearly 0 where what is right got nearly no
# probability: the worst mistakes would teach the least. Cross-entropy averages minus the logarithm of that probability:
# 0 for a sure right answer, without limit for a sure wrong one. Its slope for each score is the probability that the
# digit got, less 1 for the right one. It is the loss of a Learner that is given none.

for name, loss in {"1 - probability": 1 - probs[8], "cross-entropy": -probs[8].log()}.items():
    (slopes,) = torch.autograd.grad(loss, scores, retain_graph=True)
    print(f"were it an 8, the slope for the score of 8 would be {slopes[8]:.3f} by {name}")
print()

# -- Three networks, from easy to hard --------------------------------------------------------------------------------


def show(name: str, preds: torch.Tensor, targets: torch.Tensor) -> None:
    score = Accuracy(int((preds.argmax(1) == targets).sum()), len(targets))
    print(f"{name + ':':35} {score}")


for name, network, steps, lr in (
    ("one layer", networks.linear, 1700, 0.03),  # each digit has a weight for each pixel
    ("two layers", networks.simple_net, 6000, 0.1),  # with a ReLU between them
    ("a convnet", networks.convnet, 1700, 0.3),
):
    learn = Learner(dls, network(dls), quiet=True)
    learn.fit_one_cycle(min(30, -(-steps // len(dls.train))), lr)
    show(name, *learn.get_preds())

if dls.test:
    show("a convnet on test, looked at once", *learn.get_preds(dls.test))
