"""The grid of needles: written whole, asked for as far as the context reaches, read into cells."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from evaluation import needles
from evaluation.benchmarks import filler
from evaluation.needles import Try, grid, insert, make_items

SENTENCE = re.compile(r"(?<=\.)\s")


@pytest.fixture(scope="module")
def hay():
    return filler.text(60_000, seed=1)


def items(hay, **changes):
    wanted = {"lengths": [1000, 2000], "depths": [0, 50, 100], "seeds": 2, "seed": 1}
    return make_items(**{**wanted, "filler": hay, **changes})


def test_our_own_filler_is_as_long_as_asked_varied_and_without_numbers():
    text = filler.text(50_000, seed=3)
    assert 50_000 <= len(text) < 50_200
    assert text == filler.text(50_000, seed=3) != filler.text(50_000, seed=4)
    assert not re.search(r"\d", text)
    sentences = SENTENCE.split(text)
    assert len(set(sentences)) > 0.7 * len(sentences)


def test_a_grid_has_every_length_depth_and_try_the_shortest_first(hay):
    places = [(one["length"], one["depth"], one["seed"]) for one in items(hay)]
    assert places == list(itertools.product((1000, 2000), (0, 50, 100), (1, 2)))


def test_no_two_needles_are_alike_and_each_is_in_its_own_haystack_alone(hay):
    made = items(hay, seeds=5)
    assert len({one["answers"][0] for one in made}) == len(made)
    assert len({one["question"] for one in made}) == len(made)
    for one in made:
        number = one["answers"][0]
        assert [number in other["haystack"] for other in made].count(True) == 1
        assert one["haystack"].count(one["needle"]) == 1
        assert one["answers"] == [number, f"{int(number):,}"]


def test_more_needles_than_words_for_them_are_still_told_apart(hay):
    made = items(hay, lengths=[400], depths=range(100), seeds=4)
    assert len({one["question"] for one in made}) == len(made) == 400


def test_the_same_seed_makes_the_same_grid_and_another_one_another(hay):
    assert items(hay) == items(hay) != items(hay, seed=2)


@pytest.mark.parametrize("characters_per_token", [3.0, 4.0, 5.5])
def test_a_haystack_leaves_room_for_the_question_and_the_answer(hay, characters_per_token):
    for one in items(hay, characters_per_token=characters_per_token):
        room = (one["length"] - needles.BUFFER) * characters_per_token
        assert room - 150 < len(one["haystack"]) <= room


def test_a_filler_that_is_too_short_is_repeated(hay):
    (one,) = items(hay[:2_000], lengths=[4000], depths=[50], seeds=1)
    assert len(one["haystack"]) > 15_000


def test_the_needle_stands_between_two_sentences_at_its_depth(hay):
    for one in items(hay, lengths=[8000], depths=[0, 10, 33.3, 50, 90, 100]):
        text, needle = one["haystack"], one["needle"]
        assert needle in SENTENCE.split(text)
        place = 100 * text.index(needle) / (len(text) - len(needle))
        assert place == pytest.approx(one["depth"], abs=0.5)


@pytest.mark.parametrize(
    ("depth", "text"),
    [
        (0, "X. Aa. Bb. Cc. Dd."),
        (24, "X. Aa. Bb. Cc. Dd."),
        (25, "Aa. X. Bb. Cc. Dd."),
        (60, "Aa. Bb. X. Cc. Dd."),
        (99, "Aa. Bb. Cc. X. Dd."),
        (100, "Aa. Bb. Cc. Dd. X."),
    ],
)
def test_the_place_goes_back_to_the_end_of_a_sentence_and_100_appends(depth, text):
    assert insert(["Aa.", "Bb.", "Cc.", "Dd."], "X.", depth=depth) == text


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lengths": []}, "from 400"),
        ({"lengths": [100]}, "from 400"),
        ({"depths": [101]}, "per cent"),
        ({"depths": [float("nan")]}, "per cent"),
        ({"depths": []}, "per cent"),
        ({"seeds": 0}, "1 to 100"),
        ({"characters_per_token": 0}, "characters"),
        ({"filler": "Too short."}, "1,000 characters"),
        ({"filler": "word " * 1_000}, "ten sentences"),
        ({"filler": "A {{haystack}} of words. " * 100}, "may not contain"),
        ({"lengths": [1_000_000], "depths": range(101)}, "808 million characters"),
    ],
)
def test_a_grid_that_cannot_be_made_is_refused_for_a_reason(hay, changes, reason):
    with pytest.raises(needles.BadGrid, match=reason):
        items(hay, **changes)


def test_stored_messages_are_short_and_come_back_as_they_are_sent(hay):
    (one,) = items(hay, lengths=[8000], depths=[50], seeds=1)
    messages = [{"role": "user", "content": f"Read.\n\n{one['haystack']}\n\n{one['question']}"}]
    stored = needles.without_haystack(messages, one)
    assert len(json.dumps(stored)) < 200
    assert needles.with_haystack(stored, one) == messages


def test_a_cell_holds_the_mean_and_the_number_of_its_tries():
    cells = grid(
        [
            Try(1000, 0, 1.0, prompt_tokens=990),
            Try(1000, 0, 0.0, prompt_tokens=1010),
            Try(1000, 0, None),
            Try(1000, 100, 1.0),
        ]
    ).cells
    assert [(cell.score, cell.n, cell.prompt_tokens) for cell in cells] == [
        (0.5, 2, 1000),
        (1.0, 1, None),
    ]


def test_a_refused_length_and_all_longer_ones_are_not_supported_rather_than_nought():
    table = grid(
        [
            Try(8000, 0, None),
            Try(4000, 0, None, supported=False),
            Try(4000, 100, None),
            Try(1000, 0, 1.0),
            Try(1000, 100, 0.0),
        ]
    )
    assert (table.lengths, table.depths) == ((1000, 4000, 8000), (0, 100))
    assert [[cell.supported for cell in row] for row in table.rows] == [
        [True, True],
        [False, False],
        [False, False],
    ]
    assert [cell.score for cell in table.cells] == [1.0, 0.0, None, None, None, None]
    assert table.supported_length == 1000


def test_a_grid_without_tries_is_empty():
    assert grid([]).cells == ()
    assert grid([]).supported_length is None
