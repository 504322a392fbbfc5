"""What texts say about a vote: measured on labelled prompts, and on texts made to be hostile."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from leaderboard import topics
from leaderboard.features import (
    Features,
    count_tokens,
    features_of,
    language_of,
    prompt_key,
    style_of,
)

SAMPLE = Path(__file__).with_name("labelled_prompts.jsonl")
FLAGS = ("code", "math", "creative", "instructions")


def held_out(prompt: str) -> bool:
    """A third, chosen by its hash: no word of a rule was chosen while looking at these."""
    return int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") % 3 == 0


@pytest.fixture(scope="module")
def sample():
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]
    return [(row, features_of([(row["prompt"], "", "")])) for row in rows]


def precision_and_recall(flag, judged):
    labelled = [(flag in row["labels"], getattr(features, flag)) for row, features in judged]
    hits = sum(want and got for want, got in labelled)
    return hits / sum(got for _, got in labelled), hits / sum(want for want, _ in labelled)


def test_the_sample_is_varied(sample):
    assert len(sample) >= 160
    assert len({row["prompt"] for row, _ in sample}) == len(sample)
    assert len({row["language"] for row, _ in sample}) >= 12
    for flag in FLAGS:
        assert sum(flag in row["labels"] for row, _ in sample) >= 30
    assert sum(not row["labels"] for row, _ in sample) >= 60


@pytest.mark.parametrize("flag", FLAGS)
def test_each_topic_is_told_on_prompts_seen_and_held_out(sample, flag):
    seen = [pair for pair in sample if not held_out(pair[0]["prompt"])]
    unseen = [pair for pair in sample if held_out(pair[0]["prompt"])]
    assert 0.25 < len(unseen) / len(sample) < 0.42
    for part, floor in ((seen, 0.95), (unseen, 0.85)):
        precision, recall = precision_and_recall(flag, part)
        assert precision >= floor
        assert recall >= floor


def test_the_language_of_prompts_is_told(sample):
    right = [row["language"] == features.language for row, features in sample]
    assert sum(right) / len(right) >= 0.95


@pytest.mark.parametrize(
    "prompt",
    ["Write an email", "What is a code of conduct?", "Born on the 2nd of May", "Count me in"],
)
def test_everyday_words_make_no_topic(prompt):
    features = features_of([(prompt, "", "")])
    assert not any(getattr(features, flag) for flag in FLAGS)


def test_an_answer_with_a_program_makes_a_vote_a_vote_on_code():
    def code(answer):
        return features_of([("Do it.", answer, "No.")]).code

    assert code("Here:\n```python\nprint(1)\n```")
    assert not code("Here:\n```\nroses are red\n```")
    assert not code("Here:\n```text\nroses are red\n```")


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I can’t assist with this request.",
        "As an AI language model, I cannot give medical advice.",
        "I cannot provide instructions for that.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Извините, но я не могу помочь с этим.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、お答えできません。",
        "죄송하지만 도와드릴 수 없습니다.",
    ],
)
def test_a_refusal_by_either_side_is_noticed(answer):
    assert features_of([("How?", "Like this.", answer)]).refusal
    assert features_of([("How?", answer, "Like this.")]).refusal


@pytest.mark.parametrize(
    "answer",
    [
        "Sorry for the confusion! The answer is 4.",
        "Cats cannot taste sweetness.",
        "You can't divide by zero, so the expression has no value.",
        "The story begins. " * 40 + "I'm sorry, but I can't go on, she said.",
    ],
)
def test_an_answer_that_only_sounds_like_one_is_no_refusal(answer):
    assert not topics.is_refusal(answer)


def test_turns_are_added_up():
    features = features_of(
        [("Hello there", "Hi!", "Hello"), ("Write a poem.", "**So**", "# Oh\n- a")]
    )
    assert features.turns == 2
    assert features.prompt_tokens == 2 + 4
    assert (features.tokens_a, features.tokens_b) == (2 + 5, 1 + 4)
    assert (features.bold_a, features.bold_b) == (1, 0)
    assert (features.headers_a, features.headers_b) == (0, 1)
    assert (features.lists_a, features.lists_b) == (0, 1)
    assert features.creative


def test_style_is_counted_outside_of_code():
    style = style_of(
        [
            "# One\n###### Six\n####### seven is no header\n#no\n"
            "- a\n  * b\n+ c\n1. d\n22) e\n-f\n1.g\n"
            "**bold** and __bold__ and **not\nbold**\n"
            "```sh\n# comment\n- x\n**y**\n```\n"
            "~~~\n# a\n```\n# b\n~~~\n## Two\n"
            "````\n```\n# c\n````\n"
        ]
    )
    assert (style.headers, style.lists, style.bold) == (3, 5, 2)


def test_tokens_are_words_signs_and_single_east_asian_characters():
    assert count_tokens("Don't panic, 42!") == 7
    assert count_tokens("你好，world") == 4
    assert count_tokens("x" * 24) == 2
    assert count_tokens(" \n\t ") == 0


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", ""),
        ("12 + 30 = ? 🙂", ""),
        ("https://example.org/ein/schoener/weg", ""),
        ("```python\nfor name in names: print(name)\n```", ""),
        ("Was macht dieser Code?\n```python\nfor name in names: print(name)\n```", "de"),
        ("写一首诗", "zh"),
        ("詩を書いて", "ja"),
        ("시를 써 줘", "ko"),
        ("HOW DO I GET A REFUND FOR MY TICKET", "en"),
        ("Wie komme ich\nam schnellsten\nzum Bahnhof?", "de"),
    ],
)
def test_languages_without_much_to_go_by(text, language):
    assert language_of(text) == language


def test_the_language_model_is_the_packaged_one(tmp_path):
    """No network, no cache folder: both would be noticed here."""
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from leaderboard.features import language_of\n"
        "print(language_of('Guten Morgen, wie geht es dir heute?'))\n"
    )
    environment = {**os.environ, "FTLANG_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "de"
    assert list(tmp_path.iterdir()) == []


def test_equal_prompts_have_equal_keys_whatever_their_case_and_spacing():
    assert prompt_key("  What is\nLOVE? ") == prompt_key("what is love?")
    assert prompt_key("ﬁne") == prompt_key("fine")
    assert prompt_key("what is love") != prompt_key("what is hate")
    assert len(prompt_key("\ud800")) == 32  # half of a pair of surrogates has a key as well


def test_a_vote_without_text_has_features_that_say_so():
    features = features_of([])
    assert features == Features()
    assert features.tokens_a is None
    assert features.language == ""


HOSTILE = {
    "one word": "a",
    "stars": "*",
    "bold that never ends": "**a ",
    "underscores": "__a",
    "backticks": "`",
    "fences": "```\n",
    "headers": "# ",
    "spaces": " ",
    "lines": "\n",
    "digits": "1",
    "sums": "1 + ",
    "powers": "x^2 ",
    "dollars": "$=",
    "verbs": "write a ",
    "verbs close": "write,",
    "counts": "ten ",
    "sorry": "i'm sorry, but i ",
    "links": "https://a",
    "def": "def a",
    "select": "SELECT a FROM",
    "chinese": "写一",
    "answers only": "answer a ",
    "at most": "at most ",
    "percent": "5 % of ",
    "equation": "a+1-1",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_text_takes_more_than_ten_times_as_long_as_prose(text):
    """64 kB against as much ordinary prose, in the same process, best of some: a ratio."""

    def cost(text):
        taken = []
        for _ in range(3):
            start = time.process_time()
            features_of([(text, text, text)])
            taken.append(time.process_time() - start)
        return min(taken)

    prose = "The quick brown fox jumps over the lazy dog. Then it sleeps under a tree.\n"
    language_of("The model is loaded once.")
    ordinary = cost((prose * 1_000)[:65_536])
    hostile = cost((text * 65_536)[:65_536])
    assert hostile < 10 * ordinary


def test_the_features_are_those_that_are_stored():
    from leaderboard.models import VoteFeatures

    stored = {field.attname for field in VoteFeatures._meta.get_fields()} - {"vote_id"}
    # These two are of this arena's own votes only, by who stores them.
    assert stored - {"prompt_key", "identity_leak"} == {field.name for field in fields(Features)}
