"""The moderations dialect of OpenAI: texts to categories, each with a flag and a score.

Source: https://platform.openai.com/docs/api-reference/moderations.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arena.backends.base import BackendError, ErrorKind, HttpRequest, Target
from arena.backends.openai import headers_of
from arena.backends.urls import join

MAX_CATEGORIES = 200
MAX_NAME = 60  # characters of a category's name


@dataclass(frozen=True, slots=True)
class Rating:
    flagged: bool
    score: float | None


def request(target: Target, model: str, texts: Sequence[str]) -> HttpRequest:
    body: dict[str, object] = {"input": list(texts)}
    if model:
        body["model"] = model
    return HttpRequest("POST", join(target.base_url, "/moderations"), headers_of(target), body)


def read(body: bytes, texts: int) -> list[Mapping[str, Rating]]:
    """For each of so many texts, its ratings by category. Raises BackendError(PROTOCOL)."""
    try:
        results = json.loads(body)["results"]
        if len(results) != texts:
            raise ValueError(f"{len(results)} results for {texts} texts")
        return [_ratings(result) for result in results]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BackendError(ErrorKind.PROTOCOL, f"not a moderation: {error!r}"[:500]) from error


def _ratings(result: Mapping[str, Mapping[str, object]]) -> dict[str, Rating]:
    scores = result.get("category_scores") or {}
    found: dict[str, Rating] = {}
    for name, flagged in list(result["categories"].items())[:MAX_CATEGORIES]:
        score = scores.get(name)
        number = isinstance(score, int | float) and not isinstance(score, bool)
        found[_printable(name)] = Rating(
            flagged is True,
            float(score) if number else None,  # type: ignore[arg-type]
        )
    return found


def _printable(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable())[:MAX_NAME] or "unnamed"
