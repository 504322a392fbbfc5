"""Markdown answers to safe HTML. No Django.

Whatever a model writes passes five stages: CommonMark with raw HTML shown as text (markdown-it-py),
code highlighting (Pygments), LaTeX to MathML (latex2mathml), a last pass through an allow-list
(nh3), and a size check. nh3 is load-bearing: latex2mathml lets `\\text{<img onerror=…>}` through.

The time is bounded by structure, so that a text always looks the same: answers, paragraphs, code
and formulas have a size above which they are shown as plain text, and so have nesting, brackets and
table cells, on which markdown-it-py's time is quadratic. Only the colours of code have a clock.
"""

from arena.rendering.answers import MAX_ANSWER, MAX_HTML, BlockRenderer, render
from arena.rendering.code import HIGHLIGHT_CLASSES, LANGUAGES

__all__ = [
    "HIGHLIGHT_CLASSES",
    "LANGUAGES",
    "MAX_ANSWER",
    "MAX_HTML",
    "BlockRenderer",
    "render",
]
