"""Train sevensteps' convnet on MNIST for one epoch, and save it for the cases that predict. Not timed.

Into `predictor/` in the work folder: the model folder, and the same network with its softmax as an exported program,
for the engines that know nothing of sevensteps.
"""

import case
import torch

from sevensteps import AdamW, DataLoaders, Learner, Predictor, accuracy, networks


def main() -> None:
    options = case.options()
    options.network = "cnn"
    x, y, valid_x, valid_y = case.arrays(options)
    dls = DataLoaders.from_arrays(x, y, valid=(valid_x, valid_y), batch_size=case.BATCH_SIZE)
    learn = Learner(dls, networks.convnet(dls), opt_func=AdamW, metrics=accuracy, quiet=True)
    learn.fit_one_cycle(1, lr=0.01)
    folder = options.work / "predictor"
    folder.mkdir(exist_ok=True)
    learn.save(folder / "model", overwrite=True)
    network = torch.nn.Sequential(case.load_model(folder / "model"), torch.nn.Softmax(1)).eval()
    shapes = ({0: torch.export.Dim("pictures", min=1, max=4096)},)
    program = torch.export.export(network, (torch.zeros(2, 1, 28, 28),), dynamic_shapes=shapes)
    torch.export.save(program, folder / "network.pt2")
    case.finish({}, check={"accuracy": learn.recorder.values[-1][2]}, classes=Predictor(folder / "model").classes)


if __name__ == "__main__":
    main()
