"""The parser: CommonMark and tables, fitted to the page and bounded in time."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from arena.rendering.code import render_code
from arena.rendering.formulas import display_formula, inline_formula, render_formula

MAX_BLOCK = 8 * 1024  # characters; longer paragraphs are shown as they were written
MAX_ADDRESS = 2_000  # links to longer ones are only text
MAX_NESTING = 20  # a quote is one level, a list two
MAX_BRACKETS = 256  # "[" in one paragraph: each may search the rest for its partner
MAX_MISSING_CELLS = 2_048  # a table's short rows are filled up to the width of its head
HEADING_SHIFT = 2  # answers stand under an <h2>


def preformatted(text: str) -> str:
    return f'<pre class="plain" tabindex="0">{escape(text.strip(chr(10)), quote=False)}</pre>\n'


def to_html(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> str:
    return str(MARKDOWN.renderer.render(tokens, MARKDOWN.options, env))


def _leave_costly_blocks_plain(state: StateCore) -> None:
    """Before the text of blocks is parsed: show those as written that would take too long.

    So are those nested so deep that the parser silently dropped what was inside.
    """
    if not any(map(_is_costly, state.tokens)):
        return
    lines = state.src.split("\n")
    tokens: list[Token] = []
    for block in _top_level(state.tokens):
        if any(map(_is_costly, block)):
            first, end = block[0].map or (0, len(lines))
            tokens.append(Token("preformatted", "", 0, content="\n".join(lines[first:end])))
        else:
            tokens += block
    state.tokens = tokens


def _is_costly(token: Token) -> bool:
    if token.type == "inline":
        return len(token.content) > MAX_BLOCK or token.content.count("[") > MAX_BRACKETS
    return token.type in ("blockquote_open", "list_item_open") and token.level >= MAX_NESTING - 1


def _top_level(tokens: Iterable[Token]) -> Iterator[list[Token]]:
    block: list[Token] = []
    for token in tokens:
        block.append(token)
        if token.level == 0 and token.nesting <= 0:
            yield block
            block = []


def _adapt_to_page(state: StateCore) -> None:
    for token in state.tokens:
        match token.type:
            case "heading_open" | "heading_close":
                token.tag = f"h{min(6, int(token.tag[1:]) + HEADING_SHIFT)}"
            case "th_open" | "td_open":
                # The content security policy forbids the style attribute.
                if style := token.attrs.pop("style", None):
                    token.attrs["class"] = str(style).removeprefix("text-align:")
            case "inline":
                token.children = list(_tame_links(token.children or []))


def _tame_links(tokens: Iterable[Token]) -> Iterator[Token]:
    """Links lead off this site and say nothing else; images become links, so nothing is fetched."""
    linked = False
    for token in tokens:
        match token.type:
            case "link_open":
                linked = _leads_off(token.attrs["href"])
                token.attrs.pop("title", None)
                if linked:
                    yield token
            case "link_close":
                if linked:
                    yield token
                linked = False
            case "image":
                source = token.attrs["src"]
                description = "".join(
                    " " if part.type in ("softbreak", "hardbreak") else part.content
                    for part in token.children or []
                )
                label = Token("text", "", 0, content=description or "image")
                if linked or not _leads_off(source):
                    yield label
                else:
                    yield Token("link_open", "a", 1, attrs={"href": source})
                    yield label
                    yield Token("link_close", "a", -1)
            case _:
                yield token


def _leads_off(url: str | int | float) -> bool:
    url = str(url)
    return len(url) <= MAX_ADDRESS and _OFF_SITE.match(url) is not None


_OFF_SITE = re.compile(r"https?://|mailto:", re.IGNORECASE)


def _markdown() -> MarkdownIt:
    # The limit is a constant of the module; at its own 65,536 cells 8 kB of text take 0.5 s.
    tables: Any = importlib.import_module("markdown_it.rules_block.table")
    tables.MAX_AUTOCOMPLETED_CELLS = MAX_MISSING_CELLS

    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": MAX_NESTING})
    markdown.enable(["table", "strikethrough"])
    markdown.core.ruler.after("block", "costly", _leave_costly_blocks_plain)
    markdown.core.ruler.push("page", _adapt_to_page)
    markdown.block.ruler.before(
        "fence",
        "formula",
        display_formula,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    markdown.inline.ruler.before("escape", "formula", inline_formula)
    rules = {
        "fence": render_code,
        "code_block": render_code,
        "formula": render_formula,
        "preformatted": lambda _, tokens, index, *rest: preformatted(tokens[index].content),
        "table_open": lambda *_: '<div class="table" tabindex="0"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
    }
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    return markdown


MARKDOWN = _markdown()
