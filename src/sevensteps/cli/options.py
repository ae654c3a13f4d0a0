"""Options that several commands have."""

from __future__ import annotations

import click

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document and nothing else on stdout."
)
quiet_option = click.option("--quiet", is_flag=True, help="Print results only, no progress.")
device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
links_option = click.option("--follow-links", is_flag=True, help="Follow symbolic links in a folder of pictures.")
