"""What the beginning of a line of Markdown says."""

import re

FENCE = re.compile(r"( {0,3})(`{3,}(?=[^`\n]*$)|~{3,})")
HEADING = re.compile(r"#{1,6}(?:[ \t]|\r?$)")
ITEM_OR_CODE = re.compile(r"[ \t]|(?:[-+*]|\d{1,9}[.)])(?:\s|$)")
NEITHER_ITEM_NOR_CODE = re.compile(r"[^-+*\d\s]")
