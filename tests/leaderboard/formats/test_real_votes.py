"""The shared sets of real votes: every row is understood, and as the rating tests read it."""

from __future__ import annotations

import csv
import gzip
from collections import Counter

import pytest

from leaderboard.formats.records import AGAINST_ITSELF, BadRow, Skipped, VoteRecord
from leaderboard.formats.source import UnknownFormat
from leaderboard.formats.vote_file import open_votes

BOARDS = {
    "lmarena_20251217_text",
    "lmarena_20251217_text_style_control",
    "lmarena_history_2023_2025",
}


def vote_sets(shared_data):
    return [
        path
        for path in sorted((shared_data / "votes").glob("*.csv.gz"))
        if path.name.removesuffix(".csv.gz") not in BOARDS
    ]


def test_every_row_of_every_real_vote_set_is_read(shared_data):
    paths = vote_sets(shared_data)
    assert len(paths) >= 15
    for path in paths:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        expected = [
            (row["model_a"], row["model_b"], row["winner"].replace("tie (bothbad)", "both_bad"))
            for row in rows
            if row["model_a"] != row["model_b"]
        ]
        with open_votes(path) as votes:
            read = list(votes)
            assert votes.done == votes.total == path.stat().st_size
        assert [reading for reading in read if isinstance(reading, BadRow)] == []
        assert [
            (vote.model_a, vote.model_b, vote.winner)
            for vote in read
            if isinstance(vote, VoteRecord)
        ] == expected, path.name


def test_models_that_met_themselves_are_skipped_and_counted_apart(shared_data):
    with open_votes(shared_data / "votes" / "alpacaeval2_star.csv.gz") as votes:
        skipped = Counter(vote.reason for vote in votes if isinstance(vote, Skipped))
    assert skipped == {AGAINST_ITSELF: 805}


def test_judges_and_clusters_of_real_sets_are_kept(shared_data):
    with open_votes(shared_data / "votes" / "wmt16_deu-eng.csv.gz") as votes:
        first = next(iter(votes))
    assert isinstance(first, VoteRecord)
    assert first.judge == "judge5"
    assert first.extra == {"prompt_id": "1020", "ranking_id": "181"}


@pytest.mark.parametrize("board", sorted(BOARDS))
def test_a_published_board_is_not_taken_for_votes(shared_data, board):
    with pytest.raises(UnknownFormat, match="no known vote format has these columns"):
        open_votes(shared_data / "votes" / f"{board}.csv.gz")
