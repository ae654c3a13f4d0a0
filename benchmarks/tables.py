"""The results as Markdown: a table for each figure of each target, then the passport.

    python benchmarks/tables.py benchmarks/results_amd-epyc-2_202611.json > benchmarks/results_amd-epyc-2_202611.md

Comes in: the results as `run.py` writes them in JSON. `compare` there names the entries that the others are divided by.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def markdown(results: Json) -> str:
    """The whole page."""
    lines = [*_head(results)]
    for target in results["targets"]:
        lines += _target(target)
    return "\n".join([*lines, *_passport(results)]) + "\n"


def _head(results: Json) -> Iterator[str]:
    machine = results["passport"]
    yield from (f"# Timings on {machine['processor']}, {machine['cores']} cores", "")
    yield (
        "How they were taken, and how to repeat them: [README.md](README.md). min and median are over the rounds, in "
        "each of which every row ran once, in a process of its own. A ratio is the row's time divided by that of the "
        "row that the column's head names, of the minima and in brackets of the medians: above 1 is slower."
    )


def _target(target: Json) -> Iterator[str]:
    measured = target["measured"]
    yield from ("", f"## {target['number']}. {target['title']}", "")
    if target["goal"]:
        yield from (f"To be shown: {target['goal']}", "")
    if target["compare"]:
        for figure in target["figures"]:
            yield from _comparison(target, figure)
    else:
        yield from _figures(target)
    yield from _failures(target)
    rounds = f"{measured['rounds']} round{'s' * (measured['rounds'] != 1)}"
    yield f"{measured['date']}, commit {measured['commit']}, {rounds}{_disturbance(target)}."


def _disturbance(target: Json) -> str:
    """How much other programs had of the processors in the worst of the runs: above a few hundredths it shows."""
    foreign = [answer.get("foreign_cores") for entry in target["entries"] for answer in entry["answers"]]
    most = max((cores for cores in foreign if cores is not None), default=None)
    return "" if most is None else f"; other programs took at most {most:.2f} of a core during a run"


def _comparison(target: Json, figure: Json) -> Iterator[str]:
    """One table: who, how, how long, and how often as long as those in `compare`."""
    ours = {name: _samples(_entry(target, name), figure) for name in target["compare"]}
    ours = {name: times for name, times in ours.items() if times}
    if len(target["figures"]) > 1:
        yield from (f"**{figure['title']}**", "")
    yield _row(["who", "variant", "threads", "precision", "min", "median", *(f"÷ {name}" for name in ours)])
    yield "|---" * (6 + len(ours)) + "|"
    for entry in target["entries"]:
        times = _samples(entry, figure)
        if not times:
            yield _row([*_who(entry), "failed", "", *("" for _ in ours)])
            continue
        seconds = [amount(min(times), figure["unit"]), amount(statistics.median(times), figure["unit"])]
        name = f"{entry['who']}, {entry['variant']}"
        yield _row([*_who(entry), *seconds, *("1" if name == one else _ratio(times, ours[one]) for one in ours)])
    yield ""


def _figures(target: Json) -> Iterator[str]:
    """For targets that compare nobody: the figures one below the other."""
    yield _row(["who", "variant", "threads", "precision", "figure", "min", "median", "mean", "sd", "max"])
    yield "|---" * 10 + "|"
    for entry in target["entries"]:
        for figure in target["figures"]:
            values = _samples(entry, figure)
            if not values:
                yield _row([*_who(entry), figure["title"], "failed", "", "", "", ""])
                continue
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            numbers = [min(values), statistics.median(values), statistics.mean(values), spread, max(values)]
            yield _row([*_who(entry), figure["title"], *(amount(number, figure["unit"]) for number in numbers)])
    yield ""


def _failures(target: Json) -> Iterator[str]:
    failed = [entry for entry in target["entries"] if entry["errors"]]
    for entry in failed:
        done = f"after {len(entry['answers'])} rounds" if entry["answers"] else "in its first round"
        yield f"- {entry['who']}, {entry['variant']}: failed {done}: `{entry['errors'][0]}`"
    if failed:
        yield ""


def _passport(results: Json) -> Iterator[str]:
    machine = results["passport"]
    yield from ("", "## Passport", "", "| what | |", "|---|---|")
    yield _row(["processor", f"{machine['processor']}, {machine['cores']} cores; {', '.join(machine['instructions'])}"])
    yield _row(["memory", f"{machine['memory_gib']} GiB"])
    yield _row(["system", machine["system"]])
    for environment, versions in _versions(results).items():
        named = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield _row([f"environment {environment}", named])
    yield from ("", "The commands, from the repository's root; each prints its figures as a line of JSON:", "")
    for target in results["targets"]:
        yield from (f"**{target['number']}**", "", "```sh")
        yield from dict.fromkeys(entry["command"] for entry in target["entries"])
        yield from ("```", "")


def _versions(results: Json) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for target in results["targets"]:
        for entry in target["entries"]:
            for answer in entry["answers"][-1:]:
                found.setdefault(entry["environment"], {}).update(answer["versions"])
    return found


def _entry(target: Json, name: str) -> Json:
    return next(entry for entry in target["entries"] if f"{entry['who']}, {entry['variant']}" == name)


def _samples(entry: Json, figure: Json) -> list[float]:
    return [answer["figures"][figure["key"]] for answer in entry["answers"]]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _who(entry: Json) -> list[str]:
    """Who, variant, threads, precision; with the variant go those settings that have no column of their own."""
    told = {"workers": "{} workers", "memory": "memory {}"}
    settings = [
        told.get(name, "{}").format(value)
        for name, value in entry["settings"].items()
        if name not in ("threads", "precision") and value != "system"
    ]
    variant = f"{entry['variant']} ({', '.join(settings)})" if settings else entry["variant"]
    if not entry["answers"]:
        return [entry["who"], variant, "", ""]
    answer = entry["answers"][-1]
    return [entry["who"], variant, str(answer["threads"] or ""), answer["precision"]]


def _ratio(times: list[float], ours: list[float]) -> str:
    return f"{min(times) / min(ours):.2f} ({statistics.median(times) / statistics.median(ours):.2f})"


def amount(value: float, unit: str) -> str:
    """A number with its unit, in three or four digits.

    >>> amount(0.000123, "s"), amount(1.5, "s"), amount(99.441, "%"), amount(54_880_000, "bytes"), amount(1.48, "×")
    ('123 µs', '1.50 s', '99.44 %', '54.9 MB', '1.48 ×')
    """
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    if unit != "s" or not value:
        return f"{value:.2f} {unit}"
    size, name = next((size, name) for size, name in ((1.0, "s"), (1e-3, "ms"), (0.0, "µs")) if abs(value) >= size)
    value /= size or 1e-6
    return f"{value:.{max(0, 3 - len(str(int(abs(value)))))}f} {name}"


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text())), end="")
