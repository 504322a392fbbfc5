from array import array
from dataclasses import replace

import numpy as np

from leaderboard.methods import ELO, STYLE_CONTROL, compute, inputs_of_votes
from leaderboard.vote_table import NARROW, NO_STYLE, VoteTable, whole_numbers

MODELS = ("ant", "bee", "cat", "dog")


def table(votes=400, seed=0):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, votes).astype(np.int32)
    styles = rng.integers(0, 30, (votes, 2, 4)).astype(np.int16)
    styles[rng.random(votes) < 0.1] = NO_STYLE
    return VoteTable(
        MODELS,
        first,
        ((first + rng.integers(1, 4, votes)) % 4).astype(np.int32),
        rng.integers(0, 4, votes).astype(np.int8),
        np.arange(votes, dtype=np.int64) // 3,
        styles,
    )


def rows(votes, at):
    return VoteTable(
        votes.models,
        votes.first[at],
        votes.second[at],
        votes.outcome[at],
        votes.moments[at],
        votes.styles[at],
    )


def test_numbers_stay_narrow_until_one_of_them_is_too_large():
    column = whole_numbers(array(NARROW), [1, NO_STYLE, 32_767])
    assert column.typecode == NARROW
    column = whole_numbers(column, [2, 32_768, 2_147_483_647])
    assert column.tolist() == [1, NO_STYLE, 32_767, 2, 32_768, 2_147_483_647]
    assert whole_numbers(column, [3]).tolist()[-1] == 3


def test_the_width_in_which_styles_are_held_changes_nothing():
    votes = table()
    wide = replace(votes, styles=votes.styles.astype(np.int32))
    narrow, other = (
        inputs_of_votes(STYLE_CONTROL, each, listed=MODELS, rounds=20) for each in (votes, wide)
    )
    assert narrow.data_hash == other.data_hash
    assert compute(narrow) == compute(other)


def test_style_control_knows_no_order_of_the_votes_and_nothing_of_others_between_them():
    votes = table()
    mixed = np.random.default_rng(1).permutation(votes.first.size)
    chosen = votes.outcome != 2
    whole = inputs_of_votes(STYLE_CONTROL, votes, listed=MODELS, rounds=20, chosen=chosen)
    alone = inputs_of_votes(
        STYLE_CONTROL, rows(votes, mixed[chosen[mixed]]), listed=MODELS, rounds=20
    )
    assert whole.data_hash == alone.data_hash
    assert compute(whole) == compute(alone)


def test_votes_without_texts_take_no_part_in_style_control():
    votes = table()
    with_texts = np.flatnonzero(votes.styles[:, 0, 0] != NO_STYLE)
    inputs = inputs_of_votes(STYLE_CONTROL, votes, listed=MODELS, rounds=20)
    assert inputs.counts.total == with_texts.size < votes.first.size
    without = inputs_of_votes(STYLE_CONTROL, rows(votes, with_texts), listed=MODELS, rounds=20)
    assert inputs.data_hash == without.data_hash


def test_of_the_models_only_those_with_votes_are_counted():
    votes = table()
    chosen = (votes.first != 1) & (votes.second != 1)
    inputs = inputs_of_votes(STYLE_CONTROL, votes, listed=MODELS, rounds=20, chosen=chosen)
    assert inputs.counts.models == ("ant", "cat", "dog")
    assert [line.model for line in compute(inputs).lines if line.votes] == ["ant", "cat", "dog"]


def test_elo_takes_votes_by_their_times_and_those_of_one_moment_as_they_came():
    votes = table(votes=60)
    order = np.lexsort((np.arange(60), -votes.moments))
    inputs = inputs_of_votes(ELO, votes, listed=MODELS, rounds=5)
    mixed = inputs_of_votes(ELO, rows(votes, order), listed=MODELS, rounds=5)
    assert inputs.data_hash == mixed.data_hash
    backwards = inputs_of_votes(ELO, rows(votes, order[::-1]), listed=MODELS, rounds=5)
    assert inputs.data_hash != backwards.data_hash
