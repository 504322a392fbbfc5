"""LaTeX in `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]`, to MathML."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from html import escape

from latex2mathml.converter import convert as latex_to_mathml
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from arena.rendering.lines import FENCE, HEADING
from arena.rendering.sanitiser import CLEANER, MATHML

log = logging.getLogger(__name__)

MAX_FORMULA = 1_000  # characters; longer ones are shown as they were written

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

_STRAY_TAG = re.compile(rf"<(?!/?(?:{'|'.join(MATHML)})[ />])")


def inline_formula(state: StateInline, silent: bool) -> bool:
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


def display_formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
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
            or HEADING.match(text)
            or FENCE.match(text)
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


def render_formula(
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
            return CLEANER.clean(_STRAY_TAG.sub("&lt;", mathml))
        except Exception:
            log.debug("not a formula: %r", latex, exc_info=True)
    return f'<code class="formula">{escape(as_written, quote=False)}</code>'
