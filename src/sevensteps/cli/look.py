"""`sevensteps look`: a run's health, one of its steps, or what it makes of one picture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import RequestError
from ..files import json_text, make_folder, write_bytes
from ..words import plural, visible
from .doctor import doctors_word
from .interrupts import deferred
from .options import json_option, quiet_option

if TYPE_CHECKING:
    from ..insight.replay import Replayed
    from .terminal import Terminal

LONGEST = 60  # letters of a picture's name in that of its figure


@click.command()
@click.argument("run")
@click.option("--step", type=int, help="Open this step of the training, from 0: it is made again, and compared.")
@click.option("--picture", help="Follow this picture, a file or a name in predictions.csv, and say why its answer.")
@click.option("--parameters", is_flag=True, help="With --step and --json: the lengths for each parameter too.")
@click.option("--out", default="look", show_default=True, help="A folder for the pictures that are drawn.")
@json_option
@quiet_option
def look(
    run: str, step: int | None, picture: str | None, parameters: bool, out: str, as_json: bool, quiet: bool
) -> None:
    """Look inside a RUN: without an option, what the doctor says of its training.

    With --step, that step opened: the batch, predictions, loss, gradient, update, and what came of it. It is made again
    from the nearest checkpoint, and its loss and gradient are compared with the recorded ones to the last bit. With
    --picture, that picture through all epochs, and why it gets the answer that it gets.
    """
    if step is not None and picture is not None:
        raise RequestError("--step and --picture are two questions", hint="ask one of them")
    if parameters and (step is None or not as_json):
        raise RequestError("--parameters adds to the JSON of a step", hint="give --step and --json too")
    from .terminal import Terminal

    with Terminal(as_json=as_json, quiet=quiet) as terminal:
        if step is not None:
            show_step(run, step, out, terminal, parameters=parameters)
        elif picture is not None:
            show_picture(run, picture, out, terminal)
        else:
            show_health(run, terminal)


def show_health(run: str, terminal: Terminal) -> None:
    """What the doctor says. Raises `RequestError` for a folder that is no run."""
    terminal.starting()
    with deferred():
        from ..insight.doctor import examine
        from ..insight.record import Record
        from ..training.run_folder import RunFolder
    record = Record.of(RunFolder.open(run))
    found = examine(record)
    if terminal.as_json:
        _print_json({"run": run, "steps": len(record.steps), "doctor": [diagnosis._asdict() for diagnosis in found]})
        return
    terminal.close_bar()
    if found or record.steps:
        click.echo("\n".join(doctors_word(found, len(record.epochs))))
    if record.steps:
        click.echo(f"{plural(len(record.steps), 'step')}: --step 0 to --step {len(record.steps) - 1} opens one of them")
    else:
        click.echo("no step was recorded, of which the doctor could say more")


def show_step(run: str, number: int, out: str, terminal: Terminal, *, parameters: bool) -> None:
    """A step of a run, made again. Raises `RequestError`, `DataError`."""
    terminal.starting()
    with deferred():
        from ..insight.replay import Replay
    make_folder(out)  # before the work, where it cannot be made
    replayed = Replay(run, terminal).step(number)
    terminal.close_bar()
    if not terminal.as_json:
        click.echo(f"{replayed.trace}\n\n{_proof(replayed)}")
    figure = _draw(replayed.trace.figure(), out, f"{Path(run).resolve().name}-step-{number}.png", terminal)
    if terminal.as_json:
        _print_json(replayed.to_dict(parameters=parameters) | {"figure": figure})


def show_picture(run: str, picture: str, out: str, terminal: Terminal) -> None:
    """What a run makes of a picture, and why. Raises `RequestError`, `DataError`, `RefusedPicture`."""
    terminal.starting()
    with deferred():
        from ..insight.explanation import explain
        from ..insight.replay import Replay
    make_folder(out)
    explanation = explain(Replay(run, terminal), picture)
    name = re.sub(r"[^\w-]+", "-", picture)[-LONGEST:].strip("-") or "picture"
    terminal.close_bar()
    if not terminal.as_json:
        click.echo(f"{explanation}\n")
    figure = _draw(explanation.figure(), out, f"{Path(run).resolve().name}-{name}.png", terminal)
    if terminal.as_json:
        _print_json(explanation.to_dict() | {"figure": figure})


def _proof(replayed: Replayed) -> str:
    start = f"made again from step {replayed.begun_at:,}"
    if replayed.exact:
        return f"{start}: loss and gradient are those that the run recorded, to the last bit"
    found = "nothing to compare with" if replayed.exact is None else "NOT the recorded bits"
    return f"{start}: {found}, {visible(replayed.why)}"


def _draw(figure: Any, folder: str, name: str, terminal: Terminal) -> str:
    """After the text, which a full disk must not take along."""
    from ..insight.drawing import png

    path = Path(folder) / name
    write_bytes(path, png(figure))
    if not terminal.as_json:
        click.echo(f"picture: {visible(str(path))}")
    return str(path)


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json_text(document))
