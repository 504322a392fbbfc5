"""Answers, whole or while they stream, to safe HTML."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

from markdown_it.token import Token

from arena.rendering.lines import FENCE, HEADING, ITEM_OR_CODE, NEITHER_ITEM_NOR_CODE
from arena.rendering.markdown import MARKDOWN, MAX_BLOCK, preformatted, to_html
from arena.rendering.sanitiser import CLEANER

log = logging.getLogger(__name__)

MAX_ANSWER = 32 * 1024  # characters; larger answers are shown as they were written
MAX_HTML = 2_000_000  # characters: three of text can repeat a long address
# An empty heading ends every block but code between fences, so its place tells what is finished.
_SENTINEL = "#\n"


def render(text: str) -> str:
    """The safe HTML of a whole answer."""
    if len(text) > MAX_ANSWER:
        return CLEANER.clean(preformatted(text))
    env: dict[str, Any] = {}
    try:
        html = to_html(MARKDOWN.parse(text, env), env)
    except Exception:
        log.exception("an answer of %d characters could not be rendered", len(text))
        html = preformatted(text)
    return CLEANER.clean(html if len(html) <= MAX_HTML else preformatted(text))


class BlockRenderer:
    """Renders an answer while it streams: each finished block once, the rest is `tail`.

    A block is finished when no later text can change it. Where that may be the case is seen from
    the ends of lines, at next to no cost; the parser confirms it when it renders the block, by
    finding that a heading placed after it stands outside of it. All blocks one after another, and
    the rendered tail, show what `render` shows, but for links whose reference is defined only
    after they were used, and lists of more than MAX_BLOCK characters, which are plain text here.
    """

    __slots__ = (
        *(
            "_after_cr",
            "_blank",
            "_closing",
            "_html_left",
            "_line",
            "_references",
            "_resumable",
            "_untried",
        ),
        "tail",
    )

    def __init__(self) -> None:
        self.tail = ""  # not yet in a finished block, as it was written, each line ended by an LF
        self._after_cr = False  # an LF that comes next belongs to the line end already seen
        self._line = 0  # where the line that is not yet complete begins in the tail
        self._closing: re.Pattern[str] | None = None  # the line that ends the open code block
        self._blank = False  # whether the last line was
        self._resumable = False  # the tail has a list or indented code: they outlive blank lines
        self._untried = 0  # after a block was found unfinished, wait for twice as much text
        self._references: dict[str, Any] = {}
        self._html_left = MAX_HTML

    def feed(self, text: str) -> list[str]:
        """Append `text`; return the safe HTML of the blocks that it finished."""
        # Lines are counted as the parser counts them: a CR alone ends one.
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        if "\r" in text:
            self._after_cr = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        self.tail += text
        blocks: list[str] = []
        if "\n" in text:
            while (end := self.tail.find("\n", self._line) + 1) > 0:
                self._take_line(self._line, end, blocks)
        if self._blank and self._resumable and NEITHER_ITEM_NOR_CODE.match(self.tail, self._line):
            self._finish(self._line, blocks)
        return blocks

    def _take_line(self, start: int, end: int, blocks: list[str]) -> None:
        line = self.tail[start:end]
        self._line = end
        if self._closing:
            if self._closing.match(line):
                self._closing = None
                self._finish(end, blocks, code=True)
            return
        if not line.strip():
            self._blank = True
            if not self._resumable:
                self._finish(end, blocks)
            return
        # An indented fence may belong to an item of a list.
        if (fence := FENCE.match(line)) and (fence[1] == "" or not self._resumable):
            if self._finish(start, blocks):
                self._closing = re.compile(rf" {{0,3}}{fence[2]}{fence[2][0]}*[ \t]*$")
        elif HEADING.match(line):
            if self._finish(start, blocks):
                self._finish(self._line, blocks)
        else:
            if self._blank and self._resumable and not ITEM_OR_CODE.match(line):
                self._finish(start, blocks)
            self._resumable = self._resumable or ITEM_OR_CODE.match(line) is not None
        self._blank = False
        if self._line > MAX_BLOCK and not self._closing:
            blocks.append(CLEANER.clean(preformatted(self.tail[: self._line])))
            self._drop(self._line)

    def _finish(self, end: int, blocks: list[str], *, code: bool = False) -> bool:
        """Render the tail up to `end`, a beginning of a line, unless a block is still open there.

        A code block may have any length, for it costs little. Returns whether it was rendered.
        """
        source = self.tail[:end]
        if source.strip():
            if end < self._untried or (end > MAX_BLOCK and not code):
                return False
            env: dict[str, Any] = {"references": {**self._references}}
            try:
                tokens = MARKDOWN.parse(source + _SENTINEL, env)
                if not _ends_with_sentinel(tokens):
                    self._untried = 2 * end
                    return False
                html = to_html(tokens[:-3], env)
                self._references = env["references"]
            except Exception:
                log.exception("a block of %d characters could not be rendered", len(source))
                html = preformatted(source)
            if len(html) > self._html_left:
                html = preformatted(source)
            self._html_left -= len(html)
            if html:
                blocks.append(CLEANER.clean(html))
        self._drop(end)
        return True

    def _drop(self, end: int) -> None:
        self.tail = self.tail[end:]
        self._line -= end
        self._blank = self._resumable = False
        self._untried = 0


def _ends_with_sentinel(tokens: Sequence[Token]) -> bool:
    return (
        len(tokens) >= 3
        and tokens[-3].type == "heading_open"
        and tokens[-3].level == 0
        and tokens[-3].markup == "#"
        and tokens[-2].content == ""
    )
