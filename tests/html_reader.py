"""Reads the HTML pages that sevensteps writes, and knows what none of them may hold."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from collections import defaultdict
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br"}
LOADING = {"src", "srcset", "data", "poster", "background", "action", "xlink:href"}


class Reader(HTMLParser):
    """Reads a page, and fails where tags do not balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def section(text: str, name: str) -> str:
    """The section of a page that has this id."""
    (inside,) = re.findall(f'<section[^>]* id="{name}".*?>(.*?)</section>', text, re.DOTALL)
    return f"<section>{inside}</section>"


def table(text: str, column: str) -> list[list[str]]:
    """The first table of a page that has this column: its head and its rows, each a list of its cells' text."""
    tables = re.findall("<table.*?</table>", text.replace("&nbsp;", " "), re.DOTALL)
    read = [[["".join(cell.itertext()) for cell in row] for row in ET.fromstring(it).iter("tr")] for it in tables]
    found = next(rows for rows in read if column in rows[0])
    return [[" ".join(cell.split()) for cell in row] for row in found]


def plots(text: str) -> dict[str, dict[str, list[float]]]:
    """The plots in the section of curves by their captions: the values of each kind of line or mark.

    They are read as an eye reads them, off the numbers at the lower and the upper end of the axis.
    """
    read = {}
    for figure in ET.fromstring(section(text, "curves")).iter("figure"):
        numbers = [it for it in figure.iter("text") if it.get("class") == "tick end" and it.text != "epoch"]
        ends = sorted(numbers, key=lambda it: float(it.get("y", "")))
        high, low = (float((it.text or "").removesuffix(" %")) for it in (ends[0], ends[-1]))
        values = defaultdict(list)
        for it in figure.iter():
            places = [point.partition(",")[2] for point in it.get("points", "").split()] or [it.get("cy", it.get("y1"))]
            heights = [100 - float(place.rstrip("%")) for place in places if place]
            values[it.get("class", "")] += [low + (high - low) * height / 100 for height in heights]
        read[figure.findtext("figcaption/b", "")] = dict(values)
    return read


def assert_self_contained(text: str) -> None:
    """No script, nothing from elsewhere, and a policy that allows the page its own style and pictures and no more."""
    read = Reader(text)
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {tag for tag, _ in read.tags}
    assert "http" not in re.sub('http-equiv|base64,[^"]*', "", text)
    assert "url(" not in text
    assert "@import" not in text
    for tag, attributes in read.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        loaded = LOADING | ({"href"} if tag != "a" else set())
        assert all((attributes[name] or "").startswith("data:") for name in loaded & set(attributes))
    (policy,) = [a["content"] or "" for _, a in read.tags if a.get("http-equiv") == "Content-Security-Policy"]
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", "img-src data:", f"style-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip
