"""What `sevensteps verify` prints."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import RequestError
from ..files import MANIFEST, damages, json_text
from ..training.run_folder import RunFolder
from ..words import plural, visible


def show_verification(folder: str, *, as_json: bool) -> int:
    """Whether a run or model folder is whole; the exit code. Raises `RequestError` for what is neither."""
    path = Path(folder)
    is_run = (path / "config.toml").exists() or (path / "checkpoints").exists()
    if not is_run and not (path / MANIFEST).exists():
        raise RequestError(f"{folder} has no {MANIFEST}", hint="expected a run or model folder that sevensteps wrote")
    found = RunFolder(path).damages() if is_run else damages(path)
    if as_json:
        click.echo(json_text({"folder": folder, "whole": not found, "damages": found}))
    else:
        for sentence in found:
            click.echo(visible(sentence))
        click.echo(f"{visible(folder)}: " + (f"{plural(len(found), 'damage')}" if found else "whole"))
    return 1 if found else 0
