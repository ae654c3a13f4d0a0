"""One training step of Lightning's Trainer.

tutorial: the LightningModule of "Lightning in 15 minutes", without bars and logs. tuned: batches fetched at once,
channels last, bfloat16 by the Trainer's `precision`, the fused optimizer, and `barebones=True`, which switches off all
that may slow the Trainer down.
"""

import copy
import logging
import warnings

import case
import lightning
import networks
import torch
from loaders import batches, loader
from torch.nn import functional as F


class Module(lightning.LightningModule):
    def __init__(self, options: object, clock: case.Clock) -> None:
        super().__init__()
        self.options, self.clock, self.is_cnn = options, clock, options.network == "cnn"
        self.model = networks.cnn() if self.is_cnn else networks.mlp()
        self.tuned = options.variant == "tuned"
        self.channels_last = self.tuned and self.is_cnn

    def training_step(self, batch: list[torch.Tensor], batch_idx: int) -> torch.Tensor:
        xb, yb = batch
        if self.channels_last:
            xb = xb.contiguous(memory_format=torch.channels_last)
        return (F.cross_entropy if self.is_cnn else case.mnist_loss)(self.model(xb), yb)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = torch.optim.AdamW if self.is_cnn else torch.optim.SGD
        return kind(self.parameters(), lr=case.LR[self.options.network], fused=self.tuned or None)

    def on_train_epoch_start(self) -> None:
        self.clock.start()

    def on_train_epoch_end(self) -> None:
        self.clock.stop()


def main() -> None:
    options = case.options()
    case.set_up(options)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")  # it advises workers where fewer were found to be faster
    x, y, valid_x, valid_y = case.tensors(options)
    clock, warm_up = case.Clock(), case.warm_up_epochs(options.network)
    module = Module(options, clock)
    untrained, valid = copy.deepcopy(module.model), batches(valid_x, valid_y)
    if module.channels_last:
        module.to(memory_format=torch.channels_last)
    bf16 = options.precision == "bf16"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = lightning.Trainer(
        max_epochs=warm_up + options.epochs,
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed" if bf16 else "32-true",
        enable_model_summary=False,
        **({"barebones": True} if module.tuned else {}),
        **quiet,
    )
    train = loader(x, y, options)
    module.train()
    trainer.fit(module, train)
    step = clock.seconds_per_step(len(train), warm_up)
    check = case.learned(case.evaluate(untrained, valid), case.evaluate(module.model, valid))
    case.finish({"step": step}, precision="bf16" if bf16 else "fp32", check=check)


if __name__ == "__main__":
    main()
