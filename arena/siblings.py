"""Which models are one model in several quantisations. No Django.

By name: what is left of a name when its quantisation is taken out. A name says it where a card
that somebody filled in does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

_SEPARATORS = re.compile(r"[\s._:/@()\[\]-]+")
_BITS = re.compile(
    r"(?:Q|INT|NF|FP|BF|F|W)(\d{1,2})(?!\d)|(?<![.\d])(\d{1,2})[ -]?bit", re.IGNORECASE
)
WHOLE = 16  # bits of weights as they are released
# llama.cpp's variants of the same bits, the largest first.
_VARIANTS = ("_1", "_L", "_M", "_S", "_0", "_XS", "_XXS")


class Member(Protocol):
    name: str
    quantisation: str


M = TypeVar("M", bound=Member)


def base_name(name: str, quantisation: str) -> str:
    """Equal for siblings: "X 7B Q4_K_M", "x-7b" and "X-7B-Q2_K" with their quantisations."""
    if quantisation:
        name = re.sub(re.escape(quantisation), " ", name, flags=re.IGNORECASE)
    return _SEPARATORS.sub(" ", name).strip().casefold()


def bits(quantisation: str) -> int | None:
    """Of a weight, as the name says: Q4_K_M 4, IQ2_XS 2, FP8 8, BF16 16; None if it says nothing.

    Formats of mixed blocks take a little more than their name.
    """
    found = _BITS.search(quantisation)
    return int(found[1] or found[2]) if found else None


def shown_name(name: str, quantisation: str) -> str:
    """The family's, as one of it writes it."""
    if quantisation:
        name = re.sub(rf"[\s._:/@(\[-]*{re.escape(quantisation)}[)\]]*", " ", name, flags=re.I)
    return name.strip()


def families(models: Iterable[M]) -> list[Sequence[M]]:
    """Two and more of one base name, at least one of them quantised; the most bits first."""
    found: dict[str, list[M]] = {}
    for model in models:
        found.setdefault(base_name(model.name, model.quantisation), []).append(model)
    return [
        sorted(members, key=_place)
        for _, members in sorted(found.items())
        if len(members) > 1 and any(member.quantisation for member in members)
    ]


def _place(model: Member) -> tuple[int, int, str]:
    known = bits(model.quantisation) if model.quantisation else WHOLE
    name = model.quantisation.upper()
    variant = next((n for n, end in enumerate(_VARIANTS) if name.endswith(end)), len(_VARIANTS))
    return -(known or 0), variant, model.name.casefold()
