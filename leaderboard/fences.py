"""Fenced code blocks of Markdown, found line by line: linear whatever the text. No Django."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([\w+#-]*)")


def outside_code(text: str) -> list[str]:
    """The lines that are not in a fenced block. One that is never closed goes to the end."""
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not fence and mark:
            fence = mark[1]
        elif not fence:
            lines.append(line)
        elif mark and mark[1].startswith(fence) and not mark[2]:
            fence = ""
    return lines


def fenced_languages(text: str) -> list[str]:
    """The name at the head of each fenced block, "" where it has none."""
    names, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if not mark:
            continue
        if not fence:
            fence = mark[1]
            names.append(mark[2].lower())
        elif mark[1].startswith(fence) and not mark[2]:
            fence = ""
    return names
