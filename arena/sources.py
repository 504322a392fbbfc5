"""What answers name as their sources, as far as a reader may see it.

Before the vote only how many there are, on both sides alike: where a source lies may tell who
found it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict
from urllib.parse import urlsplit

from arena.models import Answer

MOST = 50  # of one answer


class Source(TypedDict):
    url: str
    title: str


def of_answer(answer: Answer) -> list[Source]:
    """Each address once, in the order of the model's numbers; only what a link may lead to."""
    found: dict[str, Source] = {}
    for citation in answer.citations:
        url, title = str(citation.get("url", "")), str(citation.get("title", ""))
        if (host := _host(url)) and len(url) <= 2_000:
            found.setdefault(url, {"url": url, "title": title.strip()[:200] or host})
    return list(found.values())[:MOST]


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def of_turn(answers: Iterable[Answer], *, named: bool) -> dict[str, Any] | None:
    """By slot: the sources where the models are named, else their number. None if there are none.

    A side without any is in it too, so that both look alike.
    """
    found = {answer.slot: of_answer(answer) for answer in answers}
    if not any(found.values()):
        return None
    return {slot: each if named else len(each) for slot, each in found.items()}
