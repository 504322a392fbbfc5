import csv
import gzip
import hashlib
import io
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena import votes
from arena.models import Vote, Voter
from leaderboard import public_votes
from leaderboard.formats import arena
from leaderboard.formats.records import BadRow, VoteRecord
from leaderboard.formats.source import Source, UnknownFormat
from leaderboard.formats.vote_file import open_votes
from leaderboard.models import Category, VoteFeatures
from leaderboard.tally import settling
from tests import factories


def export() -> bytes:
    stream = io.BytesIO()
    public_votes.write(stream)
    return stream.getvalue()


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export().decode(), newline="")))


@pytest.mark.django_db
class TestExport:
    def test_a_vote_is_one_row_under_the_documented_columns(self):
        vote = factories.vote(
            "both_bad",
            contestant_a=factories.contestant(name="Left"),
            contestant_b=factories.contestant(name="Right"),
            pair_probability=0.125,
        )
        settling.settle_all()
        (row,) = rows()
        assert list(row) == list(arena.COLUMNS)
        assert row["vote_id"] == vote.battle.public_id
        assert (row["model_a"], row["model_b"], row["winner"]) == ("Left", "Right", "both_bad")
        assert row["timestamp"] == vote.created_at.isoformat()
        assert (row["pair_probability"], row["source"]) == ("0.125", "")
        assert (row["counted"], row["exclusion_reason"]) == ("true", "")
        cells = list(row.values())
        joined = "\x1f".join(cells[:-1]).encode()
        assert row["digest"] == hashlib.sha256(joined).hexdigest()[:16]

    def test_neither_text_nor_key_nor_comment_leaves_the_arena(self):
        vote = factories.vote("a", voter=factories.voter(key="f00d" * 8))
        Vote.objects.filter(pk=vote.pk).update(comment="my comment")
        content = export().decode()
        for secret in ("f00d" * 8, "my comment", "Why?", "Because of"):
            assert secret not in content

    def test_a_voter_has_the_same_pseudonym_in_every_row_and_others_another(self):
        regular = factories.voter()
        for voter in (regular, regular, factories.voter()):
            factories.vote("a", voter=voter)
        first, second, third = (row["voter"] for row in rows())
        assert first == second != third
        assert len(first) == 12

    def test_the_pseudonym_cannot_be_made_without_the_secret(self, settings):
        factories.vote("a")
        before = rows()[0]["voter"]
        settings.SECRET_KEY = "of another arena"
        assert rows()[0]["voter"] != before

    def test_votes_that_do_not_count_are_there_with_their_reason(self):
        made = [factories.vote("a") for _ in range(4)]
        votes.exclude(vote_id=made[1].pk, reason="administrator")
        votes.hold(vote_id=made[2].pk)
        settling.settle_all()
        Vote.objects.filter(pk=made[3].pk).update(status="pending", tallied=False, tally_due=True)
        assert [(row["counted"], row["exclusion_reason"]) for row in rows()] == [
            ("true", ""),
            ("false", "administrator"),
            ("false", "held"),
            ("false", "pending"),
        ]

    def test_the_categories_are_those_whose_counts_hold_the_vote(self):
        for choice, language, code in (("a", "de", True), ("tie", "en", False)):
            battle = factories.imported_battle()
            vote = Vote.objects.create(battle=battle, choice=choice, turn=2)
            VoteFeatures.objects.create(
                vote=vote, language=language, turns=2, prompt_tokens=700, code=code
            )
        settling.settle_all()
        first, second = rows()
        assert first["categories"].split() == [
            *("overall", "exclude-ties", "no-refusal", "multi-turn", "long-query"),
            *("with-identity-leaks", "coding", "german"),
        ]
        assert "exclude-ties" not in second["categories"].split()
        for category in Category.objects.all():
            held = sum(category.paircount_set.values_list("n", flat=True))
            listed = sum(category.slug in row["categories"].split() for row in (first, second))
            assert held == listed, category.slug

    def test_an_imported_vote_is_named_after_its_source_and_needs_no_voter(self):
        battle = factories.imported_battle(source=factories.source(name="a-set"), external_id="7")
        Vote.objects.create(battle=battle, choice="b", turn=1)
        (row,) = rows()
        assert (row["vote_id"], row["source"], row["voter"]) == ("a-set:7", "a-set", "")
        assert (row["pair_probability"], row["tokens_a"], row["bold_b"]) == ("", "", "")

    def test_the_figures_of_style_stand_under_their_sides(self):
        vote = Vote.objects.create(battle=factories.imported_battle(), choice="b", turn=1)
        figures = {column: i for i, column in enumerate(arena.STYLE_COLUMNS, 10)}
        VoteFeatures.objects.create(vote=vote, **figures)
        (row,) = rows()
        assert {column: int(row[column]) for column in arena.STYLE_COLUMNS} == figures

    def test_a_name_that_a_spreadsheet_would_run_comes_back_as_it_was(self):
        factories.vote("a", contestant_a=factories.contestant(name="=cmd|' /C calc'!A0"))
        content = export()
        assert b",'=cmd" in content
        (vote,) = open_votes(io.BytesIO(content))
        assert vote.model_a == "=cmd|' /C calc'!A0"

    def test_a_gz_file_is_compressed_and_of_the_same_votes_the_same_bytes(self, tmp_path):
        factories.vote("a")
        for name in ("one.csv.gz", "two.csv.gz", "three.csv"):
            assert public_votes.write_file(tmp_path / name) == 1
        packed = (tmp_path / "one.csv.gz").read_bytes()
        assert packed == (tmp_path / "two.csv.gz").read_bytes()
        assert gzip.decompress(packed) == (tmp_path / "three.csv").read_bytes()

    def test_the_number_of_queries_does_not_grow_with_the_votes(self, django_assert_num_queries):
        for _ in range(2):
            factories.vote("a")
        with django_assert_num_queries(5):
            export()
        for _ in range(5):
            factories.vote("b")
        with django_assert_num_queries(5):
            export()

    def test_progress_is_told_up_to_the_last_vote(self):
        Voter.objects.create(key="k")
        factories.vote("a")
        told: list[int] = []
        public_votes.write(io.BytesIO(), each=told.append)
        assert told == [1]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
FIGURES = st.tuples(*[st.integers(0, 2**31 - 1)] * len(arena.STYLE_COLUMNS))
WORDS = st.lists(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), max_size=3).map(tuple)
VOTES = st.builds(
    arena.PublicVote,
    vote_id=NAMES.filter(str.strip),
    model_a=NAMES.filter(str.strip).map("a{}".format),
    model_b=NAMES.filter(str.strip).map("b{}".format),
    winner=st.sampled_from(["model_a", "model_b", "tie", "both_bad"]),
    voter=st.from_regex(r"[0-9a-f]{12}|", fullmatch=True),
    timestamp=st.datetimes(timezones=st.just(UTC)),
    turns=st.integers(1, 99),
    language=st.sampled_from(["", "en", "zh"]),
    prompt_tokens=st.integers(0, 10**6),
    flags=st.sampled_from([(), ("code",), ("code", "math")]),
    pair_probability=st.none() | st.floats(1e-9, 1.0),
    source=st.sampled_from(["", "a-set"]),
    counted=st.booleans(),
    exclusion_reason=st.sampled_from(["", "administrator"]),
    categories=WORDS,
    styles=st.none() | FIGURES,
)


def written(*made: arena.PublicVote) -> bytes:
    stream = io.BytesIO()
    writer = arena.Writer(stream)
    for vote in made:
        writer.row(vote)
    return stream.getvalue()


class TestFormat:
    @given(VOTES)
    def test_what_is_written_is_read_back(self, vote):
        file = open_votes(io.BytesIO(written(vote)))
        assert file.format == "arena"
        (read,) = file
        assert isinstance(read, VoteRecord), read
        assert (read.model_a, read.model_b, read.winner) == (
            vote.model_a,
            vote.model_b,
            vote.winner,
        )
        assert (read.external_id, read.judge) == (vote.vote_id, vote.voter)
        assert (read.timestamp, read.turns) == (vote.timestamp, vote.turns)
        assert read.pair_probability == vote.pair_probability
        assert read.extra["counted"] is vote.counted
        assert read.extra["categories"] == list(vote.categories)
        assert read.extra.get("len_a") == (vote.styles[0] if vote.styles else None)

    @given(VOTES, VOTES, st.data())
    def test_a_changed_byte_of_a_row_is_found_in_its_row(self, one, other, data):
        content = bytearray(written(one, other))
        first, second = content.index(b"\r\n") + 2, len(written(one))
        # Line ends carry nothing: \n for \r is the same table.
        at = data.draw(st.integers(first, second - 3), label="byte")
        content[at] ^= data.draw(st.integers(1, 255), label="change")
        try:
            found = list(arena.checked_rows(Source(io.BytesIO(bytes(content)))))
        except UnknownFormat:
            return
        bad = [row for row in found if isinstance(row, BadRow)]
        assert bad
        assert bad[0].line >= 2

    def test_columns_in_another_order_are_refused(self):
        head, _, rest = written().decode().partition(",model_a")
        table = f"model_a,{head}{rest}".encode() + b"x," * (len(arena.COLUMNS) - 1) + b"x\r\n"
        with pytest.raises(UnknownFormat, match="columns"):
            list(arena.checked_rows(Source(io.BytesIO(table))))
