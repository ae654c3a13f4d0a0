"""MNIST's ten digits by `sevensteps train` with nothing chosen: test accuracy and seconds of one seed."""

import json
import subprocess
import sys
import tempfile

import case


def main() -> None:
    options = case.options()
    with tempfile.TemporaryDirectory() as out:
        words = ["train", str(options.data / "mnist"), "--seed", str(options.seed), "--out", out, "--json", "--quiet"]
        short = ["--epochs", "1"] if options.short else []
        done = subprocess.run([sys.executable, "-m", "sevensteps", *words, *short], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    result = json.loads(done.stdout)
    epochs = result["epochs"]
    figures = {
        "accuracy": 100 * result["test"]["accuracy"],
        "seconds": result["seconds"],
        "training": sum(epoch["seconds"] for epoch in epochs),
    }
    check = {"loss_before": epochs[0]["train_loss"], "loss_after": epochs[-1]["train_loss"]}
    if options.short:
        check = {}
    how = {name: result["model"].get(name) for name in ("precision", "threads")}
    case.finish(figures, **how, seed=options.seed, epochs=len(epochs), check=check)


if __name__ == "__main__":
    main()
