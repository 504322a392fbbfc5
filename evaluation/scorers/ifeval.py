"""IFEval: 25 kinds of instruction whose following a program can see.

Written from the paper's table of verifiable instructions (Zhou et al., Instruction-Following
Evaluation for Large Language Models, arXiv:2311.07911) and the data's own arguments. Item:
`instruction_id_list` and `kwargs`, parallel (`prompt` is not read; what must be repeated stands in
the kwargs). Where this differs from the reference on purpose: sentences by `sentences`, languages
by `languages` (neither seeded nor downloaded), and a `letter` that is none ("#") is counted as it
is, where the reference draws a random letter.

Strict reads the response as it is. Loose follows an instruction if one of eight variants does:
without the first line, the last, or both, each with and without asterisks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .languages import language_of
from .score import Item, Response, Score, Scorer
from .sentences import sentences

METRICS = (
    "prompt_level_strict_acc",
    "inst_level_strict_acc",
    "prompt_level_loose_acc",
    "inst_level_loose_acc",
)  # lm-eval's names


@dataclass(frozen=True, slots=True)
class Parameters:
    """Which of the four is the value; all four follow from the details."""

    metric: str = "prompt_level_strict_acc"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"ifeval measures {', '.join(METRICS)}")


def ifeval(response: Response, item: Item, params: Parameters) -> Score:
    ids, arguments = item["instruction_id_list"], item["kwargs"]
    if not ids or len(ids) != len(arguments):
        raise ValueError("an IFEval item has instructions, and arguments for each")
    texts = variants(response.text)
    strict = [follows(i, a, response.text) for i, a in zip(ids, arguments, strict=True)]
    loose = [
        kept or any(follows(i, a, text) for text in texts)
        for i, a, kept in zip(ids, arguments, strict, strict=True)
    ]
    counted = loose if "loose" in params.metric else strict
    value = sum(counted) / len(counted) if params.metric.startswith("inst") else all(counted)
    return Score(
        float(value), details={"instructions": list(ids), "strict": strict, "loose": loose}
    )


def accuracies(scores: Iterable[Score]) -> dict[str, float]:
    """The four published figures, from the scores of all prompts.

    Instruction level pools all instructions, so prompts with more of them weigh more; for its
    interval the prompt is the cluster (`statistics.clustered_mean`).
    """
    result = {}
    rows = [score.details for score in scores]
    if not rows:
        raise ValueError("there are no scores")
    for level in ("strict", "loose"):
        followed = [kept for row in rows for kept in row[level]]
        result[f"prompt_level_{level}_acc"] = sum(all(row[level]) for row in rows) / len(rows)
        result[f"inst_level_{level}_acc"] = sum(followed) / len(followed)
    return result


def follows(instruction: str, arguments: Mapping[str, Any], text: str) -> bool:
    """Whether a text follows one instruction; nothing follows any without a word.

    Raises ValueError for an instruction that is not known or lacks its arguments.
    """
    if instruction not in VERIFIERS:
        raise ValueError(f"no IFEval instruction {instruction!r}")
    given = {name: value for name, value in arguments.items() if value is not None}
    try:
        return bool(text.strip()) and VERIFIERS[instruction](text, **given)
    except TypeError as error:
        raise ValueError(f"{instruction}: {error}") from error


def variants(text: str) -> list[str]:
    """The eight readings of a loose verdict, the strict one first."""
    lines = text.split("\n")
    cuts = [lines, lines[1:], lines[:-1], lines[1:-1]]
    readings = [text] + ["\n".join(cut).strip() for cut in cuts[1:]]
    return readings + [reading.replace("*", "") for reading in readings]


def _compare(count: int, relation: str, bound: int) -> bool:
    if relation == "at least":
        return count >= bound
    if relation == "less than":
        return count < bound
    raise ValueError(f"no relation {relation!r}")


# Keywords ------------------------------------------------------------------------------------


def keywords_exist(text: str, *, keywords: Sequence[str]) -> bool:
    lowered = text.lower()
    return all(word.lower() in lowered for word in keywords)


def keyword_frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """Occurrences anywhere, within longer words too."""
    return _compare(text.lower().count(keyword.strip().lower()), relation, frequency)


def no_forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:
    """Whole words only: "rocket" holds no "rock"."""
    return not any(
        re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words
    )


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _compare(text.lower().count(letter.lower()), let_relation, let_frequency)


# Language and case ---------------------------------------------------------------------------


def in_language(text: str, *, language: str) -> bool:
    """A text without a letter is in any language, as in the reference."""
    return language_of(text) in (language, None)


def english_capitals(text: str) -> bool:
    return text.isupper() and language_of(text) in ("en", None)


def english_lowercase(text: str) -> bool:
    return text.islower() and language_of(text) in ("en", None)


_WORD = re.compile(r"[^\W_]++(?:[.\-_/&@=+'’](?=[^\W_])[^\W_]++)*+|[^\W_]++")
_CLITIC = re.compile(r"(?i)(n't|'(?:s|m|d|ll|re|ve))$")


def capital_words(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """Words without a small letter and with a capital one; "I'M" is two, as in the Treebank."""
    count = 0
    for match in _WORD.finditer(text):
        stem = _CLITIC.split(match[0])
        count += sum(part.isupper() for part in stem if part)
    return _compare(count, capital_relation, capital_frequency)


# Length --------------------------------------------------------------------------------------


def number_of_words(text: str, *, num_words: int, relation: str) -> bool:
    """Runs of letters, digits and underscores: "don't" is two."""
    return _compare(sum(1 for _ in re.finditer(r"\w+", text)), relation, num_words)


def number_of_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    return _compare(len(sentences(text)), relation, num_sentences)


def number_of_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    """Parted by "***"; an empty one counts at neither end, and may not stand between."""
    parts = [part.strip() for part in text.split("***")]
    if not all(parts[1:-1]):
        return False
    return sum(1 for part in parts if part) == num_paragraphs


def first_word_of_paragraph(
    text: str, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    """Parted by an empty line. Quotes before the word and what follows a mark are left off."""
    parts = text.split("\n\n")
    count = sum(1 for part in parts if part.strip())
    if count != num_paragraphs or nth_paragraph > count:
        return False
    words = parts[nth_paragraph - 1].split()
    if not words:
        return False
    word = re.split(r"[.,?!'\"]", words[0].lstrip("'").lstrip('"'))[0]
    return word.lower() == first_word.lower()


# Content and format --------------------------------------------------------------------------


def placeholders(text: str, *, num_placeholders: int) -> bool:
    """[like this], on one line."""
    count = 0
    for line in text.split("\n"):
        opened = line.find("[")
        while opened >= 0 and (closed := line.find("]", opened)) >= 0:
            count += 1
            opened = line.find("[", closed)
    return count >= num_placeholders


def postscript(text: str, *, postscript_marker: str) -> bool:
    shapes = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    shape = shapes.get(postscript_marker, re.escape(postscript_marker.lower()))
    return re.search(shape, text.lower()) is not None


def bullets(text: str, *, num_bullets: int) -> bool:
    """Lines that begin with "-", or with a "*" that is not the start of bold."""
    count = 0
    for line in text.split("\n"):
        head = line.lstrip()[:2]
        count += head[:1] == "-" or (head[:1] == "*" and head[1:] not in ("", "*"))
    return count == num_bullets


def constrained_answer(text: str) -> bool:
    answers = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
    return any(answer in text for answer in answers)


def highlights(text: str, *, num_highlights: int) -> bool:
    """*Marked* or **marked** stretches of one line with something in them."""
    single = [m for m in re.findall(r"\*([^\n*]*)\*", text) if m.strip()]
    double = [m for m in re.findall(r"\*\*([^\n*]*)\*\*", text) if m.strip()]
    return len(single) + len(double) >= num_highlights


def sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    """Headings as "SECTION 1". The argument's name is the data's."""
    heading = rf"{re.escape(section_spliter.strip())}\s?\d+"
    return len(re.findall(heading, text)) >= num_sections


def json_only(text: str) -> bool:
    """The whole response is JSON, in a code fence or not."""
    bare = text.strip()
    fence = re.match(r"```(?:json|Json|JSON)?", bare)
    bare = bare[fence.end() :] if fence else bare
    try:
        json.loads(bare.removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def title(text: str) -> bool:
    """A <<title>> on one line."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if start >= 0 and end > start + 2 and line[start:end].strip("<>").strip():
            return True
    return False


# Combination, start and end ------------------------------------------------------------------


def two_responses(text: str) -> bool:
    """Two different ones, parted by six asterisks."""
    parts = [part.strip() for part in text.split("******")]
    if not all(parts[1:-1]):
        return False
    answers = [part for part in parts if part]
    return len(answers) == 2 and answers[0] != answers[1]


def repeats_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def ends_with(text: str, *, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def no_comma(text: str) -> bool:
    return "," not in text


def quoted(text: str) -> bool:
    bare = text.strip()
    return len(bare) > 1 and bare[0] == bare[-1] == '"'


VERIFIERS: dict[str, Callable[..., bool]] = {
    "keywords:existence": keywords_exist,
    "keywords:frequency": keyword_frequency,
    "keywords:forbidden_words": no_forbidden_words,
    "keywords:letter_frequency": letter_frequency,
    "language:response_language": in_language,
    "length_constraints:number_sentences": number_of_sentences,
    "length_constraints:number_paragraphs": number_of_paragraphs,
    "length_constraints:number_words": number_of_words,
    "length_constraints:nth_paragraph_first_word": first_word_of_paragraph,
    "detectable_content:number_placeholders": placeholders,
    "detectable_content:postscript": postscript,
    "detectable_format:number_bullet_lists": bullets,
    "detectable_format:constrained_response": constrained_answer,
    "detectable_format:number_highlighted_sections": highlights,
    "detectable_format:multiple_sections": sections,
    "detectable_format:json_format": json_only,
    "detectable_format:title": title,
    "combination:two_responses": two_responses,
    "combination:repeat_prompt": repeats_prompt,
    "startend:end_checker": ends_with,
    "startend:quotation": quoted,
    "change_case:capital_word_frequency": capital_words,
    "change_case:english_capital": english_capitals,
    "change_case:english_lowercase": english_lowercase,
    "punctuation:no_comma": no_comma,
}

IFEVAL = Scorer("ifeval", "1.0.0", Parameters, ifeval)
