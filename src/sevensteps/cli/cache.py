"""What `sevensteps cache` prints."""

from __future__ import annotations

import json
import time

import click

from ..data import stores
from ..words import plural, visible


def show_cache(data: str | None, *, clear: bool, as_json: bool) -> None:
    """The decoded pictures that are kept, of `data` or all, which are removed where `clear` says so."""
    found = [it for it in stores.stores() if data is None or it.where == stores.place(data)]
    freed = stores.clear(data) if clear else None
    if as_json:
        rows = [
            {"data": it.where, "pictures": it.pictures, **it.preprocessing.to_dict(), "bytes": it.bytes} for it in found
        ]
        facts = {"folder": str(stores.stores_folder()), "budget_bytes": stores.budget(), "stores": rows}
        click.echo(json.dumps(facts if freed is None else {**facts, "freed_bytes": freed}, indent=2))
        return
    for it in found:
        size = f"{it.preprocessing.width} × {it.preprocessing.height} px"
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(it.used))
        click.echo(
            f"{visible(it.where)}: {plural(it.pictures, 'picture')} of {size}, {_megabytes(it.bytes)}, used {used}"
        )
    if freed is not None:
        click.echo(f"removed: {_megabytes(freed)} are free again")
    else:
        total, most = _megabytes(sum(it.bytes for it in found)), _megabytes(stores.budget())
        click.echo(f"{total} in {stores.stores_folder()}, which may hold {most}")


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"
