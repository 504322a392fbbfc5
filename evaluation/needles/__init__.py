"""Needles in haystacks: the grid that asks for them, and what was found of it."""

from .grids import (
    BUFFER,
    CHARACTERS_PER_TOKEN,
    BadGrid,
    Cell,
    Grid,
    Try,
    grid,
    insert,
    make_items,
    with_haystack,
    without_haystack,
)

__all__ = [
    "BUFFER",
    "CHARACTERS_PER_TOKEN",
    "BadGrid",
    "Cell",
    "Grid",
    "Try",
    "grid",
    "insert",
    "make_items",
    "with_haystack",
    "without_haystack",
]
