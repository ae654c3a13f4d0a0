"""The command `sevensteps`: its options, and how an error becomes one line, a hint and an exit code."""

from __future__ import annotations

import io
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..errors import RequestError, SevenStepsError
from ..files import json_text
from ..words import visible
from .interrupts import deferred
from .look import look
from .options import device_option, json_option, links_option, quiet_option
from .report import report

INTERRUPTED = 130  # as a shell reports SIGINT


def run(words: Sequence[str]) -> int:
    """Run the command that `words` name; its exit code: 0 done, 1 failed, 2 asked wrongly, 130 interrupted."""
    sys.stdout, sys.stderr = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()  # where they are closed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be in any script, the terminal in none
    try:
        code = command.main(list(words) or ["--help"], prog_name="sevensteps", standalone_mode=False)
    except click.exceptions.Abort:
        return _complain("interrupted", "", INTERRUPTED, words)
    except KeyboardInterrupt:
        return _complain("interrupted", "", INTERRUPTED, words)
    except click.ClickException as error:
        usage = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else ""
        return _complain(error.format_message(), usage, error.exit_code, words)
    except SevenStepsError as error:
        return _complain(error.message, error.hint, error.exit_code, words)
    except BrokenPipeError:  # the reader of our output went away: `sevensteps … | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'the output'}: {error.strerror or error}", "", 1, words)
    return code if isinstance(code, int) else 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="sevensteps", prog_name="sevensteps")
def command() -> None:
    """Train a picture classifier, and see every step of it learning.

    \b
    sevensteps train                    the embedded handwritten digits, no download
    sevensteps train PATH               folders <class>/* or train/<class>/*, a CSV, MNIST's own files
    sevensteps evaluate MODEL DATA      how good a saved model is, with its interval
    sevensteps predict MODEL PICTURE    what it says
    """


def read_config(context: click.Context, option: click.Parameter, file: str | None) -> str | None:
    """Take the options of a TOML file as defaults: what is said on the command line goes before them."""
    if file is None:
        return None
    try:
        config = tomllib.loads(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"cannot read the configuration {file}: {error}", hint="expected a TOML file") from error
    config.pop("recipe", None)  # what an earlier run chose for itself
    known = {it.name: it for it in context.command.params if it.name not in (option.name, "as_json", "quiet", None)}
    for name, value in config.items():
        if name not in known:
            raise RequestError(f"{file} sets {name!r}, which is no option", hint=f"they are {', '.join(sorted(known))}")
        kinds = {"integer": (int,), "float": (int, float), "boolean": (bool,)}.get(known[name].type.name, (str,))
        if isinstance(value, bool) != (kinds == (bool,)) or not isinstance(value, kinds):
            raise RequestError(f"{file} sets {name} to {value!r}", hint=f"expected {known[name].type.name}")
    context.default_map = {**(context.default_map or {}), **config}
    return file


@command.command()
@click.argument("data", required=False)
@click.option("--epochs", type=int, help="Passes over the training pictures.")
@click.option("--lr", type=float, help="The greatest learning rate of the cycle.")
@click.option("--batch-size", type=int, help="Pictures in a mini-batch.")
@click.option("--model", help="linear, simple_net, convnet, resnet, resnet18, or pixel_similarity.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws weights, order, split, augmentation.")
@device_option
@click.option("--out", default="runs", show_default=True, help="The folder in which the run's folder is made.")
@click.option("--minutes", type=float, help="Train for so long at the most.")
@click.option("--checkpoint-minutes", type=float, help="Keep a checkpoint so often, not only after each epoch.")
@click.option("--drop-leaks", is_flag=True, help="Leave out training pictures that valid or test has too.")
@links_option
@click.option("--resume", "run", help="Go on with the run in this folder from its last checkpoint.")
@click.option("--accept-changed-data", is_flag=True, help="With --resume: also where the data are others now.")
@click.option("--precision", default="auto", show_default=True, help="fp32, bf16, or auto: the faster one.")
@click.option("--threads", type=int, help="Threads that the CPU gives; else as many as are free.")
@click.option("--config", is_eager=True, expose_value=False, callback=read_config, help="A TOML file with options.")
@json_option
@quiet_option
@click.pass_context
def train(
    context: click.Context, /, as_json: bool, quiet: bool, run: str | None, accept_changed_data: bool, **options: Any
) -> int:
    """Train a classifier on DATA and save it, with its figures, in a run folder.

    DATA is a folder with train/CLASS/* and valid/CLASS/* (test/CLASS/* is looked at once, at the end), or with
    CLASS/* alone; a CSV with the columns path,label[,split]; a folder of MNIST's own IDX files or CIFAR-10's binary
    ones; or one of the names
    mnist, mnist_sample, fashion_mnist, cifar10, imagenette. Without DATA: scikit-learn's embedded handwritten digits.

    What is not given is chosen from the pictures, and said. Ctrl-C ends the training and keeps what was learned;
    `train --resume runs/NAME` then goes on, to the very weights that it would have come to.
    """
    given = [name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if run is not None and given:
        raise RequestError(
            f"--resume goes on with the options of the run, and {given[0].replace('_', '-')} is given besides",
            hint="leave it out, or begin another run",
        )
    from ..data.ahead import reading_ahead
    from .terminal import Terminal

    with (
        Terminal(as_json=as_json, quiet=quiet) as terminal,
        reading_ahead(options["data"], follow_links=options["follow_links"]),
    ):
        terminal.starting()
        with deferred():
            from ..insight.doctor import examine
            from ..insight.record import Record
            from ..report.page import write_report
            from ..training.train import resume
            from ..training.train import train as run_training
        if run is not None:
            result = resume(run, accept_changed_data=accept_changed_data, watcher=terminal)
        else:
            result = run_training(watcher=terminal, **options)
        doctor = examine(Record.of(result.run))
        terminal.trained(result, write_report(result, doctor), doctor)
    return INTERRUPTED if result.interrupted else 0


@command.command()
@click.argument("model")
@click.argument("data")
@device_option
@json_option
@quiet_option
def evaluate(model: str, data: str, device: str, as_json: bool, quiet: bool) -> None:
    """Measure a saved MODEL (a run or model folder) on labelled DATA (whatever `train` takes).

    The test split is used where there is one, else the validation split, else all pictures.
    """
    from .terminal import Terminal

    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        terminal.starting()
        with deferred():
            from ..models.evaluate import evaluate as run_evaluation
        terminal.evaluated(run_evaluation(model, data, device=device, progress=terminal.progress))


@command.command()
@click.argument("model")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--csv", "csv_file", help="Also write the answers, with the probability of every class, to this file.")
@device_option
@json_option
@quiet_option
def predict(
    model: str, pictures: tuple[str, ...], csv_file: str | None, device: str, as_json: bool, quiet: bool
) -> int:
    """Say what each of PICTURES (files, or folders of them) is, by a saved MODEL (a run or model folder)."""
    from .terminal import Terminal

    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        terminal.starting()
        with deferred():
            from ..models.predict import predict_files, write_csv
        answers = predict_files(model, pictures, device=device, progress=terminal.progress)
        written = csv_file if answers.predictions else None
        if written:
            write_csv(written, answers)
        terminal.predicted(answers, written)
    if not answers.predictions:
        _say("no picture could be predicted", "name JPEG, PNG … files that are there, or a folder of them")
        return RequestError.exit_code
    return 1 if any(not Path(name).exists() for name in pictures) else 0


@command.command()
@click.argument("questions", nargs=-1, type=int)
@click.option("--data", help="Your own pictures: whatever `train` takes. Else the embedded digits.")
@click.option("--out", help="A folder for the figures.", show_default="tour")
@click.option("--html", help="A folder for pages instead: one for each question, its figure inside, and index.html.")
@json_option
@quiet_option
def tour(
    questions: tuple[int, ...], data: str | None, out: str | None, html: str | None, as_json: bool, quiet: bool
) -> None:
    """Answer questions of fastbook's chapter 4 by code that runs: all that there are, or those of the given numbers."""
    if out and html:
        raise RequestError("--out is given besides --html", hint="leave one out: pages have their figures inside")
    from .terminal import Terminal

    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        terminal.starting()
        with deferred():
            from ..data.dataloaders import DataLoaders
            from ..data.sources import DIGITS
            from ..tour.show import choose, run_tour
        choose(questions)  # an unknown number is told before anything is read
        dls = DataLoaders.from_source(data, progress=terminal.progress)
        if html:
            from ..tour.pages import write_tour

            terminal.toured(*write_tour(questions, dls, html, data or DIGITS, terminal.progress))
        else:
            terminal.toured(run_tour(questions, dls, out or "tour", terminal.progress))


@command.command()
@click.argument("data", required=False)
@links_option
@click.option("--strict", is_flag=True, help="Exit with code 1 where anything was found.")
@json_option
@quiet_option
def check(data: str | None, follow_links: bool, strict: bool, as_json: bool, quiet: bool) -> int:
    """Tell what is wrong with labelled DATA (whatever `train` takes), and what it does to an accuracy.

    Pictures that are in train and in valid or test, copies (also resized or encoded anew), labels that contradict
    each other, rare and missing classes, blank pictures, features that give the class away, files that are none.
    """
    from ..data.check import check as look
    from ..data.sources import read_source
    from .terminal import Terminal

    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        report = look(read_source(data, progress=terminal.progress, follow_links=follow_links))
        terminal.checked(report)
    return 1 if strict and report.findings else 0


@command.command()
@click.argument("data", required=False)
@click.option("--clear", is_flag=True, help="Remove them; they are made again when they are needed.")
@json_option
def cache(data: str | None, clear: bool, as_json: bool) -> None:
    """Show the decoded pictures that are kept for the next time: of DATA (a folder or a CSV), or all.

    They lie in $SEVENSTEPS_CACHE, or in the user's cache folder, and take 10 GB at most, or $SEVENSTEPS_CACHE_GB; those
    that were not used for longest make room for new ones.
    """
    from .cache import show_cache

    show_cache(data, clear=clear, as_json=as_json)


@command.command()
@click.argument("folder")
@json_option
def verify(folder: str, as_json: bool) -> int:
    """Say whether a run or model FOLDER is whole, to the last bit, by the checksums that were written with it."""
    from .verify import show_verification

    return show_verification(folder, as_json=as_json)


@command.command()
@click.argument("model")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=int, default=8000, show_default=True)
@device_option
def serve(model: str, host: str, port: int, device: str) -> None:
    """Answer HTTP requests with a saved MODEL: POST a picture to /predict. Needs the extra `serve`."""
    from ..serve.app import serve as run_server

    run_server(model, host=host, port=port, device=device)


@command.command()
@click.argument("model")
@click.option("--port", type=int, default=7777, show_default=True)
def studio(model: str, port: int) -> None:
    """Open a page on this machine to try a saved MODEL: draw, or drop a picture. Needs the extra `serve`."""
    from ..studio.app import studio as run_studio

    run_studio(model, port=port)


command.add_command(look)
command.add_command(report)


def _complain(message: str, hint: str, code: int, words: Sequence[str]) -> int:
    """Say on stderr what went wrong; with --json also as the one document on stdout."""
    if "--json" in words:
        print(json_text({"error": {"message": message, "hint": hint, "exit_code": code}}))
    _say(message, hint)
    return code


def _say(message: str, hint: str = "") -> None:
    text = f"sevensteps: {message}" + (f"\n  hint: {hint}" if hint else "")
    print("\n".join(map(visible, text.split("\n"))), file=sys.stderr)
