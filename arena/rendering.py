"""Markdown answers to safe HTML. No Django.

Whatever a model writes passes five stages: CommonMark with raw HTML shown as text (markdown-it-py),
code highlighting (Pygments), LaTeX to MathML (latex2mathml), a last pass through an allow-list
(nh3), and a size check. nh3 is load-bearing: latex2mathml lets `\\text{<img onerror=…>}` through.

The time is bounded by structure, so that a text always looks the same: answers, paragraphs, code
and formulas have a size above which they are shown as plain text, and so have nesting, brackets and
table cells, on which markdown-it-py's time is quadratic. Only the colours of code have a clock.
"""

from __future__ import annotations

import importlib
import logging
import re
import time
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from functools import cache
from html import escape
from typing import Any

import nh3
from latex2mathml.converter import convert as latex_to_mathml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Operator, _TokenType

log = logging.getLogger(__name__)

# Sizes in characters.
MAX_ANSWER = 32 * 1024  # larger answers are shown as they were written
MAX_BLOCK = 8 * 1024  # so are paragraphs; code blocks lose their colours
MAX_FORMULA = 1_000
MAX_HTML = 2_000_000  # of an answer: three characters of text can repeat a long address
MAX_ADDRESS = 2_000  # links to longer ones are only text
# Of processor time for one code block. Many lexers are quadratic somewhere: 8 kB of line ends cost
# the one for C 2 s. The rest of the code then stays without colours.
HIGHLIGHT_SECONDS = 0.1
MAX_NESTING = 20  # a quote is one level, a list two
MAX_BRACKETS = 256  # "[" in one paragraph: each may search the rest for its partner
MAX_MISSING_CELLS = 2_048  # a table's short rows are filled up to the width of its head

HEADING_SHIFT = 2  # answers stand under an <h2>

# The names a fence may ask for, as Pygments spells them. A fixed list: looking an unknown name up
# costs milliseconds, and some of the 600 lexers spend a second within one token, where the clock
# does not reach (console, ini, matlab, ocaml).
LANGUAGES = frozenset(
    """
    asm bash sh shell zsh c cpp c++ csharp cs c# clojure css dart diff docker dockerfile elixir
    erlang fortran go golang graphql haskell hs html http java javascript js json julia kotlin latex
    tex lua make makefile nginx objective-c perl pl php powershell ps1 pycon python py python3 r rb
    ruby rs rust scala scss sql swift toml ts typescript verilog vhdl vim xml yaml yml zig
    """.split()  # noqa: SIM905 - as a list it would fill the page
)
_CLASSES = {
    Comment: "c",
    Generic.Deleted: "gd",
    Generic.Heading: "gh",
    Generic.Inserted: "gi",
    Generic.Prompt: "gp",
    Generic.Subheading: "gh",
    Keyword: "k",
    Literal.Number: "m",
    Literal.String: "s",
    Name.Attribute: "na",
    Name.Builtin: "nb",
    Name.Class: "nc",
    Name.Decorator: "nd",
    Name.Exception: "nc",
    Name.Function: "nf",
    Name.Tag: "nt",
    Name.Variable: "nv",
    Operator.Word: "k",
}
HIGHLIGHT_CLASSES = frozenset(_CLASSES.values())

_MATHML = {
    "math": {"display"},
    "menclose": {"notation"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mn": set(),
    "mo": {"accent", "fence", "form", "lspace", "maxsize", "minsize", "rspace", "stretchy"},
    "mover": {"accent"},
    "mpadded": {"depth", "height", "voffset", "width"},
    "mphantom": set(),
    "mroot": set(),
    "mrow": set(),
    "mspace": {"width"},
    "msqrt": set(),
    "mstyle": {"displaystyle", "scriptlevel"},
    "msub": set(),
    "msubsup": set(),
    "msup": set(),
    "mtable": {"columnalign", "columnlines", "columnspacing", "rowlines", "rowspacing"},
    "mtd": {"columnalign"},
    "mtext": set(),
    "mtr": set(),
    "munder": {"accentunder"},
    "munderover": set(),
}
_HTML = {
    *("p", "h3", "h4", "h5", "h6", "hr", "br", "blockquote", "ol", "ul", "li", "div", "pre"),
    *("a", "code", "em", "s", "span", "strong"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
_CLEANER = nh3.Cleaner(
    tags=_HTML | set(_MATHML),
    attributes={"a": {"href"}, "ol": {"start"}} | {t: a for t, a in _MATHML.items() if a},
    tag_attribute_values={"div": {"tabindex": {"0"}}, "pre": {"tabindex": {"0"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={
        "div": {"code", "code-head", "formula", "table"},
        "pre": {"plain"},
        "code": {"formula"},
        "span": set(HIGHLIGHT_CLASSES),
        "td": {"center", "left", "right"},
        "th": {"center", "left", "right"},
    },
    link_rel="nofollow noopener ugc",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)


def render(text: str) -> str:
    """The safe HTML of a whole answer."""
    if len(text) > MAX_ANSWER:
        return _CLEANER.clean(_preformatted(text))
    env: dict[str, Any] = {}
    try:
        html = _to_html(_MARKDOWN.parse(text, env), env)
    except Exception:
        log.exception("an answer of %d characters could not be rendered", len(text))
        html = _preformatted(text)
    return _CLEANER.clean(html if len(html) <= MAX_HTML else _preformatted(text))


class BlockRenderer:
    """Renders an answer while it streams: each finished block once, the rest is `tail`.

    A block is finished when no later text can change it. Where that may be the case is seen from
    the ends of lines, at next to no cost; the parser confirms it when it renders the block, by
    finding that a heading placed after it stands outside of it. All blocks one after another, and
    the rendered tail, show what `render` shows, but for links whose reference is defined only
    after they were used, and lists of more than MAX_BLOCK characters, which are plain text here.
    """

    __slots__ = (
        *("_blank", "_closing", "_html_left", "_line", "_references", "_resumable", "_untried"),
        "tail",
    )

    def __init__(self) -> None:
        self.tail = ""  # not yet in a finished block, as it was written
        self._line = 0  # where the line that is not yet complete begins in the tail
        self._closing: re.Pattern[str] | None = None  # the line that ends the open code block
        self._blank = False  # whether the last line was
        self._resumable = False  # the tail has a list or indented code: they outlive blank lines
        self._untried = 0  # after a block was found unfinished, wait for twice as much text
        self._references: dict[str, Any] = {}
        self._html_left = MAX_HTML

    def feed(self, text: str) -> list[str]:
        """Append `text`; return the safe HTML of the blocks that it finished."""
        self.tail += text
        blocks: list[str] = []
        if "\n" in text:
            while (end := self.tail.find("\n", self._line) + 1) > 0:
                self._take_line(self._line, end, blocks)
        if self._blank and self._resumable and _NEITHER_ITEM_NOR_CODE.match(self.tail, self._line):
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
        if (fence := _FENCE.match(line)) and (fence[1] == "" or not self._resumable):
            if self._finish(start, blocks):
                self._closing = re.compile(rf" {{0,3}}{fence[2]}{fence[2][0]}*[ \t]*\r?$")
        elif _HEADING.match(line):
            if self._finish(start, blocks):
                self._finish(self._line, blocks)
        else:
            if self._blank and self._resumable and not _ITEM_OR_CODE.match(line):
                self._finish(start, blocks)
            self._resumable = self._resumable or _ITEM_OR_CODE.match(line) is not None
        self._blank = False
        if self._line > MAX_BLOCK and not self._closing:
            blocks.append(_CLEANER.clean(_preformatted(self.tail[: self._line])))
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
                tokens = _MARKDOWN.parse(source + _SENTINEL, env)
                if not _ends_with_sentinel(tokens):
                    self._untried = 2 * end
                    return False
                html = _to_html(tokens[:-3], env)
                self._references = env["references"]
            except Exception:
                log.exception("a block of %d characters could not be rendered", len(source))
                html = _preformatted(source)
            if len(html) > self._html_left:
                html = _preformatted(source)
            self._html_left -= len(html)
            if html:
                blocks.append(_CLEANER.clean(html))
        self._drop(end)
        return True

    def _drop(self, end: int) -> None:
        self.tail = self.tail[end:]
        self._line -= end
        self._blank = self._resumable = False
        self._untried = 0


# An empty heading ends every block but code between fences, so its place tells what is finished.
_SENTINEL = "#\n"
_FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`\n]*$)|~{3,})")
_HEADING = re.compile(r"#{1,6}(?:[ \t]|\r?$)")
_ITEM_OR_CODE = re.compile(r"[ \t]|(?:[-+*]|\d{1,9}[.)])(?:\s|$)")
_NEITHER_ITEM_NOR_CODE = re.compile(r"[^-+*\d\s]")


def _ends_with_sentinel(tokens: Sequence[Token]) -> bool:
    return (
        len(tokens) >= 3
        and tokens[-3].type == "heading_open"
        and tokens[-3].level == 0
        and tokens[-3].markup == "#"
        and tokens[-2].content == ""
    )


def _preformatted(text: str) -> str:
    return f'<pre class="plain" tabindex="0">{escape(text.strip(chr(10)), quote=False)}</pre>\n'


def _to_html(tokens: Sequence[Token], env: MutableMapping[str, Any]) -> str:
    return str(_MARKDOWN.renderer.render(tokens, _MARKDOWN.options, env))


# --- what the parser is told ---------------------------------------------------------------------


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


# --- code ----------------------------------------------------------------------------------------


def _render_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    token = tokens[index]
    words = token.info.split(maxsplit=1)
    language = words[0].lower() if words and re.fullmatch(r"[\w+#.-]{1,20}", words[0]) else ""
    head = f'<div class="code-head"><span>{escape(language)}</span></div>'
    code = _highlighted(token.content, language)
    return f'<div class="code">{head}<pre tabindex="0"><code>{code}</code></pre></div>\n'


def _highlighted(code: str, language: str) -> str:
    """HTML of `code` with the spans of HIGHLIGHT_CLASSES, or none if it is long or unknown."""
    lexer = _lexer(language)
    if lexer is None or len(code) > MAX_BLOCK:
        return escape(code, quote=False)
    parts: list[str] = []
    current, pending, done = "", "", 0
    stop = time.thread_time() + HIGHLIGHT_SECONDS
    try:
        for kind, value in lexer.get_tokens(code):
            name = _class_of(kind)
            if name != current and not value.isspace():
                parts.append(_span(current, pending))
                current, pending = name, ""
            pending += value
            done += len(value)
            if time.thread_time() > stop:
                break
    except Exception:
        log.info("the %s lexer failed", language, exc_info=True)
        return escape(code, quote=False)
    return "".join([*parts, _span(current, pending), escape(code[done:], quote=False)])


def _span(name: str, code: str) -> str:
    html = escape(code, quote=False)
    return f'<span class="{name}">{html}</span>' if name and html else html


@cache
def _lexer(language: str) -> Lexer | None:
    if language not in LANGUAGES:
        return None
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


@cache
def _class_of(kind: _TokenType) -> str:
    while kind.parent is not None:
        if name := _CLASSES.get(kind):
            return name
        kind = kind.parent
    return ""


# --- formulas ------------------------------------------------------------------------------------

_DISPLAY = {"$$": "$$", "\\[": "\\]"}
# As Pandoc has it, so that prices stay prices: no space inside the dollars, no digit after them.
_INLINE_FORMULA = re.compile(
    rf"""
    \$\$ (?P<dollars> [^$]{{1,{MAX_FORMULA}}} ) \$\$
    | \$ (?! [\s$]) (?P<dollar> (?: \\. | [^$\\] ){{1,{MAX_FORMULA}}}? ) (?<! \s) \$ (?! \d)
    | \\\[ (?P<bracket> .{{1,{MAX_FORMULA}}}? ) \\\]
    | \\\( (?P<parenthesis> .{{1,{MAX_FORMULA}}}? ) \\\)
    """,
    re.VERBOSE | re.DOTALL,
)

_STRAY_TAG = re.compile(rf"<(?!/?(?:{'|'.join(_MATHML)})[ />])")


def _inline_formula(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    match = _INLINE_FORMULA.match(state.src, state.pos, state.posMax)
    if match is None:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.content = match[match.lastgroup or 0]
        token.markup = match[0]
        token.block = match.lastgroup in ("dollars", "bracket")
    state.pos = match.end()
    return True


def _display_formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """`$$ … $$` or `\\[ … \\]` that fills whole lines, without a blank one.

    A block of its own, because a line of it may look like an item of a list.
    """
    if state.is_code_block(start):
        return False
    opening = state.src[state.bMarks[start] + state.tShift[start] :][:2]
    closing = _DISPLAY.get(opening)
    if closing is None:
        return False
    for line in range(start, end):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if line == start:
            text = text[2:]
        elif (
            not text
            or state.sCount[line] < state.blkIndent
            or text.startswith("\\[")
            or _HEADING.match(text)
            or _FENCE.match(text)
        ):
            return False
        if closing in text:
            if text.find(closing) != len(text) - 2:
                return False  # followed by text: part of a paragraph
            break
    else:
        return False
    if not silent:
        token = state.push("formula", "", 0)
        token.markup = state.getLines(start, line + 1, state.blkIndent, False).strip()
        token.content = token.markup[2:-2]
        token.block = True
        token.map = [start, line + 1]
        token.meta["alone"] = True
        state.line = line + 1
    return True


def _render_formula(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    token = tokens[index]
    html = _formula(token.content, token.markup, "block" if token.block else "inline")
    return f'<div class="formula" tabindex="0">{html}</div>\n' if "alone" in token.meta else html


def _formula(latex: str, as_written: str, display: str) -> str:
    if latex.strip() and len(latex) <= MAX_FORMULA:
        try:
            mathml = str(latex_to_mathml(latex.strip(), display=display))
            # Alone, because a tag in \\text{} that nobody closes would take in all that follows.
            return _CLEANER.clean(_STRAY_TAG.sub("&lt;", mathml))
        except Exception:
            log.debug("not a formula: %r", latex, exc_info=True)
    return f'<code class="formula">{escape(as_written, quote=False)}</code>'


# --- all of it together --------------------------------------------------------------------------


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
        _display_formula,
        {"alt": ["paragraph", "reference", "blockquote", "list"]},
    )
    markdown.inline.ruler.before("escape", "formula", _inline_formula)
    rules = {
        "fence": _render_code,
        "code_block": _render_code,
        "formula": _render_formula,
        "preformatted": lambda _, tokens, index, *rest: _preformatted(tokens[index].content),
        "table_open": lambda *_: '<div class="table" tabindex="0"><table>\n',
        "table_close": lambda *_: "</table></div>\n",
    }
    for name, rule in rules.items():
        markdown.add_render_rule(name, rule)
    return markdown


_MARKDOWN = _markdown()
