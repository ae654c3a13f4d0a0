"""Reads the HTML pages that sevensteps writes, and knows what none of them may hold."""

from __future__ import annotations

import base64
import hashlib
import re
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
