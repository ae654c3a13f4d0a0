"""Time sevensteps beside its rivals, and write down what came out.

    make bench                                    # everything
    python benchmarks/run.py --only 2,3           # some targets, by their numbers in plan.py
    python benchmarks/run.py --quick              # one short round, to see that all of it runs

Builds the rivals' environments, prepares the data, finds each rival's best settings, then runs the entries of a target
by turns, `--rounds` times. Writes `results_<hardware>_<YYYYMM>.md`, and the same with every answer as JSON; targets
that are not asked for stay there as they were.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import datasets
from environments import ENVIRONMENTS, build
from passport import hardware, now, passport
from plan import targets
from process import FailedError, Places, check, run_undisturbed, shown
from search import Search
from tables import markdown
from target import Entry, Target

HERE = Path(__file__).resolve().parent


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended and tidied up
    asked = _arguments()
    chosen = _chosen(asked.only)
    datasets.check(asked.data)
    places = Places(asked.data, asked.work, asked.environments)
    datasets.prepare(asked.data, asked.work)
    broken = _build(chosen, asked.environments)
    bench = Bench(places, asked.quick, asked.rounds, asked.seeds, broken)
    file = _results_file(asked)
    for target in chosen:
        _write(file, bench.measure(target))
    print(file.with_suffix(".md"))


class Bench:
    """Measures one target after the other."""

    def __init__(self, places: Places, quick: bool, rounds: int, seeds: int, broken: dict[str, str]) -> None:
        self.places, self.quick, self.rounds, self.seeds, self.broken = places, quick, rounds, seeds, broken
        self.search = Search(places, _say)
        self.prepared: set[str] = set()

    def measure(self, target: Target) -> dict[str, Any]:
        """All rounds of a target, as it stands in the results."""
        _say(f"{target.number}. {target.title}")
        measured = now()
        self._prepare(target, target.before)
        rows = [self._row(target, entry) for entry in target.entries]
        self._prepare(target, [entry for entry in target.entries if entry.cache == "filled"])
        rounds = 1 if self.quick else self.seeds if target.seeds else self.rounds
        for number in range(rounds):
            for row in rows if number % 2 == 0 else rows[::-1]:  # back and forth: a slow drift hits all alike
                self._one(target, row, number)
        return {
            "number": target.number,
            "title": target.title,
            "goal": target.goal,
            "compare": list(target.compare),
            "figures": [dataclasses.asdict(figure) for figure in target.figures],
            "measured": {**measured, "rounds": rounds},
            "entries": [row.result() for row in rows],
        }

    def _row(self, target: Target, entry: Entry) -> Row:
        row = Row(entry)
        if error := self.broken.get(entry.environment):
            row.errors.append(error)
        elif self.quick:
            row.settings = {name: values[0] for name, values in entry.choices.items()}
        else:
            row.settings = self.search.settings(target, entry)
        options = row.settings | self._shorter(target) | ({"seed": 0} if target.seeds else {})
        row.command = shown(entry, options, self.places)
        return row

    def _prepare(self, target: Target, entries: Iterable[Entry]) -> None:
        """Run entries untimed, each once in a bench: what makes a model, and what fills the cache that others use."""
        for entry in entries:
            key = json.dumps([entry.script, entry.environment, dict(entry.options)], sort_keys=True)
            if key not in self.prepared:
                self.prepared.add(key)
                self._one(target, Row(entry), 0)

    def _shorter(self, target: Target) -> dict[str, object]:
        return dict(target.quick) if self.quick else {}

    def _one(self, target: Target, row: Row, number: int) -> None:
        """One run of an entry; one that has failed is not run again."""
        if row.errors:
            return
        options = row.settings | self._shorter(target) | ({"seed": number} if target.seeds else {})
        try:
            answer = run_undisturbed(row.entry, options, self.places, attempts=1 if self.quick else 3)
            check(answer, 0.0 if self.quick else target.accuracy)
        except FailedError as error:
            row.errors.append(str(error))
            _say(f"  {row.entry.name}: FAILED: {error}")
            return
        row.answers.append(answer)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in answer["figures"].items())
        _say(f"  round {number + 1}  {row.entry.name}: {figures}")


class Row:
    """An entry with its settings, and what came out of its rounds."""

    def __init__(self, entry: Entry) -> None:
        self.entry, self.command = entry, ""
        self.settings: dict[str, object] = {}
        self.answers: list[dict[str, Any]] = []
        self.errors: list[str] = []

    def result(self) -> dict[str, Any]:
        return {
            "who": self.entry.who,
            "variant": self.entry.variant,
            "environment": self.entry.environment,
            "settings": self.settings,
            "command": self.command,
            "answers": self.answers,
            "errors": self.errors,
        }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="targets by their numbers: 2,3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10, help="rounds of target 7, each with the next seed")
    parser.add_argument("--quick", action="store_true", help="one short round, no search, into the work folder")
    parser.add_argument("--data", type=Path, default=datasets.DATA, help="default: ../shared/data of the repository")
    parser.add_argument("--work", type=Path, default=datasets.WORK, help="for what the cases read; may be removed")
    parser.add_argument("--environments", type=Path, default=ENVIRONMENTS, help="for the rivals' environments")
    parser.add_argument("--out", type=Path, help="the folder for the results; default: benchmarks")
    parser.add_argument("--hardware", default=hardware(), help="the machine's name in the results' file name")
    return parser.parse_args()


def _chosen(only: str) -> list[Target]:
    known = {target.number: target for target in targets()}
    numbers = only.split(",") if only else list(known)
    if strange := [number for number in numbers if number not in known]:
        raise SystemExit(f"there is no target {strange[0]}\n  hint: they are {', '.join(known)}")
    return [known[number] for number in numbers]


def _build(chosen: list[Target], environments: Path) -> dict[str, str]:
    """The environments that could not be built, and why."""
    names = {entry.environment for target in chosen for entry in (*target.entries, *target.before)}
    return {name: error for name in sorted(names) if (error := build(name, environments))}


def _results_file(asked: argparse.Namespace) -> Path:
    if asked.quick:
        return (asked.out or asked.work) / "results_quick.json"
    return (asked.out or HERE) / f"results_{asked.hardware}_{date.today():%Y%m}.json"


def _write(file: Path, measured: dict[str, Any]) -> None:
    """Put one target into the results. It is called after each, so that an interrupted run was not in vain."""
    results = json.loads(file.read_text()) if file.exists() else {"targets": []}
    others = {target["number"]: target for target in results["targets"]}
    others[measured["number"]] = measured
    order = [target.number for target in targets()]
    results = {"passport": passport(), "targets": [others[number] for number in order if number in others]}
    file.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    file.with_suffix(".md").write_text(markdown(results))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
