"""Blocks of code, coloured by Pygments within a limit of time."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from functools import cache
from html import escape

from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Generic, Keyword, Literal, Name, Operator, _TokenType

log = logging.getLogger(__name__)

MAX_COLOURED = 8 * 1024  # characters; longer code stays without colours
# Of processor time for one code block. Many lexers are quadratic somewhere: 8 kB of line ends cost
# the one for C 2 s. The rest of the code then stays without colours.
HIGHLIGHT_SECONDS = 0.1

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


def render_code(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: object
) -> str:
    token = tokens[index]
    words = token.info.split(maxsplit=1)
    language = words[0].lower() if words and re.fullmatch(r"[\w+#.-]{1,20}", words[0]) else ""
    head = f'<div class="code-head"><span>{escape(language)}</span></div>'
    code = highlighted(token.content, language)
    return f'<div class="code">{head}<pre tabindex="0"><code>{code}</code></pre></div>\n'


def highlighted(code: str, language: str) -> str:
    """HTML of `code` with the spans of HIGHLIGHT_CLASSES, or none if it is long or unknown."""
    lexer = _lexer(language)
    if lexer is None or len(code) > MAX_COLOURED:
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
