"""Files as they arrive: compressed, damaged, enormous, in the wrong encoding."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.formats import source
from leaderboard.formats.records import BadRow, Skipped, VoteRecord
from leaderboard.formats.source import UnknownFormat
from leaderboard.formats.vote_file import open_votes
from tests.leaderboard.formats.files import json_lines, readings

HEADER = b"model_a,model_b,winner\n"
VOTE = {"model_a": "x", "model_b": "y", "winner": "a"}


def names(read):
    """What became of each row: the first model's name, or the line that was refused."""
    return [r.model_a if isinstance(r, VoteRecord) else r.line for r in read]


def reasons(read):
    return [reading.reason for reading in read if isinstance(reading, BadRow)]


def test_gzip_is_known_by_its_first_bytes_not_by_a_name():
    assert names(readings(gzip.compress(HEADER + b"x,y,tie\n"))) == ["x"]


def test_a_byte_order_mark_is_not_part_of_the_first_column():
    assert names(readings(b"\xef\xbb\xbf" + HEADER + b"x,y,tie\n")) == ["x"]
    assert names(readings(b"\xef\xbb\xbf" + json_lines(VOTE).encode())) == ["x"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_any_of_the_three_ways(end):
    data = (HEADER + b"x,y,tie\nz,y,tie\n").replace(b"\n", end)
    assert names(readings(data)) == ["x", "z"]


@pytest.mark.parametrize("delimiter", [b",", b"\t", b";"])
def test_columns_are_parted_by_commas_tabs_or_semicolons(delimiter):
    assert names(readings((HEADER + b"x,y,tie\n").replace(b",", delimiter))) == ["x"]


def test_bytes_that_are_not_utf8_cost_only_their_row():
    read = readings(HEADER + b"x,y,tie\n\xff\xfe,y,tie\nz\xc3\xa9,y,tie\n")
    assert names(read) == ["x", 3, "zé"]
    assert reasons(read) == ["not UTF-8"]


@pytest.mark.parametrize("shape", ["lines", "array"])
def test_bytes_that_are_not_utf8_cost_only_their_json_object(shape):
    good = json.dumps(VOTE).encode()
    bad = good.replace(b"x", b"\xed\xa0\x80")  # half a surrogate pair, which UTF-8 forbids
    data = b"\n".join([good, bad, good])
    if shape == "array":
        data = b"[" + data.replace(b"\n", b",") + b"]"
    read = readings(data)
    assert names(read) == ["x", 2, "x"]
    assert reasons(read) == ["not UTF-8"]


def test_u0000_is_refused_because_postgresql_cannot_hold_it():
    assert reasons(readings(HEADER + b"x\0,y,tie\n")) == ["holds U+0000"]
    assert reasons(readings(json_lines(VOTE, {**VOTE, "model_a": "x\0"}))) == ["holds U+0000"]


def test_half_a_surrogate_pair_becomes_a_replacement_character():
    (vote,) = readings(json_lines({**VOTE, "model_a": "x\ud83d"}))
    assert vote.model_a == "x\ufffd"


def test_a_number_that_json_does_not_have_is_refused():
    read = readings(json_lines(VOTE, {**VOTE, "count": float("nan")}, VOTE))
    assert names(read) == ["x", 2, "x"]
    assert "NaN is not JSON" in reasons(read)[0]


def test_nesting_without_end_is_refused_and_the_next_line_read():
    deep = '{"model_a": ' + "[" * 100_000 + "]" * 100_000 + "}\n"
    read = readings(json_lines(VOTE) + deep + json_lines(VOTE))
    assert names(read) == ["x", 2, "x"]
    assert reasons(read) == ["JSON nested too deeply"]


def test_rows_are_numbered_by_the_line_they_begin_on():
    data = HEADER + b'x,"y\ny\r\ny",tie\nx,y\n\nx,y,maybe\n'
    read = readings(data)
    assert names(read) == ["x", 5, 7]
    assert reasons(read) == ["2 cells under 3 columns", "winner: 'maybe'"]


def test_objects_of_an_array_are_numbered_one_by_one():
    file = open_votes(io.BytesIO(json.dumps([VOTE, {**VOTE, "winner": "?"}, 7]).encode()))
    assert file.unit == "item"
    assert names(file) == ["x", 2, 3]


def test_a_quote_that_never_closes_is_one_bad_row():
    read = readings(HEADER + b'x,y,tie\n"x,y,tie\nx,y,tie\n')
    assert names(read) == ["x", 3]
    assert "not CSV" in reasons(read)[0]


@pytest.fixture
def small_rows(monkeypatch):
    monkeypatch.setattr(source, "MAX_ROW", 1000)


def test_a_line_that_is_too_long_is_passed_over(small_rows):
    long = "x" * 5000
    read = readings(HEADER + f"x,y,tie\n{long},y,tie\nz,y,tie\n".encode())
    assert names(read) == ["x", 3, "z"]
    read = readings(json_lines(VOTE, {**VOTE, "model_b": long}, {**VOTE, "model_a": "z"}))
    assert names(read) == ["x", 2, "z"]
    assert reasons(read) == ["a line of more than 1000 characters"]


def test_a_record_of_too_many_lines_is_refused_where_it_outgrows_the_limit(small_rows):
    many = '"' + "x\n" * 600 + '"'
    read = readings(HEADER + f"x,y,tie\n{many},y,tie\n".encode())
    assert names(read)[:2] == ["x", 3]
    assert reasons(read)[0] == "a record of more than 1000 characters"
    assert all(isinstance(reading, BadRow) for reading in read[1:])


def test_an_array_item_that_is_too_long_ends_the_reading(small_rows):
    items = [VOTE, {**VOTE, "model_b": "x" * 200_000}, VOTE]
    read = readings(json.dumps(items))
    assert names(read) == ["x", 2]
    assert "the rest was not read" in reasons(read)[0]


def test_a_file_cut_off_in_the_middle_keeps_what_came_before():
    text = json.dumps([VOTE, VOTE])
    assert reasons(readings(text[:-5])) == ["the JSON array does not end"]
    rows = b"".join(b"model-%d,y,tie\n" % number for number in range(20_000))
    cut = readings(gzip.compress(HEADER + rows)[:-2000])
    assert "damaged from here on" in reasons(cut)[0]
    assert names(cut)[0] == "model-0"
    assert len(cut) > 1000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        ("model_a,model_b,winner\n".encode("utf-16"), "UTF-8"),
        (b"PAR1\x15\0\x15", "UTF-8"),
        (gzip.compress(b"a,b\n" * 999, mtime=0)[:30], "cannot be read"),
        (b"x" * 100_000, "first line does not end"),
        (b"a,b,a\n1,2,3\n", "twice"),
        (b"[1, 2, 3]", r"no JSON object in it \(item 1: not a JSON object\)"),
        (b"[]", "no rows"),
        (b"{\n}\n", r"no JSON object in it \(line 1: not JSON"),
        (b"key,Model\nx,X\n", "no known vote format has these columns: Model, key"),
    ],
)
def test_what_is_no_vote_file_is_refused_with_a_reason(data, message):
    with pytest.raises(UnknownFormat, match=message):
        open_votes(io.BytesIO(data))


def test_a_named_format_needs_no_row_to_be_recognised_by():
    assert readings(b"[]", "plain") == []
    assert names(readings(b"{\n" + json_lines(VOTE).encode(), "plain")) == [1, "x"]


def test_a_format_nobody_knows_is_refused_by_name():
    with pytest.raises(UnknownFormat, match=r"no format 'excel'; there are .*plain"):
        open_votes(io.BytesIO(HEADER), format="excel")


def test_progress_grows_with_the_bytes_taken_from_the_file(tmp_path):
    path = tmp_path / "votes.csv"
    path.write_bytes(HEADER + b"x,y,tie\n" * 30_000)
    with open_votes(path) as votes:
        done = [votes.done for _ in votes]
    assert done[0] < done[15_000] < done[-1] == votes.total == path.stat().st_size


def test_a_stream_that_cannot_seek_has_no_total():
    class Pipe(io.BytesIO):
        def seek(self, *_):
            raise io.UnsupportedOperation

    votes = open_votes(Pipe(HEADER + b"x,y,tie\n"))
    assert votes.total is None
    assert names(votes) == ["x"]


def test_a_stream_that_was_handed_in_stays_open():
    stream = io.BytesIO(HEADER + b"x,y,tie\n")
    with open_votes(stream) as votes:
        list(votes)
    assert not stream.closed


@pytest.mark.parametrize("shape", ["csv", "lines", "array"])
def test_a_long_file_is_never_held_in_memory(shape):
    """12 MB of rows go through in less than 2 MB."""
    row = {**VOTE, "note": "n" * 4000}
    count = 3_000
    text = json.dumps(row)

    def pieces():
        yield {"csv": "model_a,model_b,winner,note\n", "lines": "", "array": "[" + text}[shape]
        piece = {"csv": f"x,y,a,{'n' * 4000}\n", "lines": text + "\n", "array": "," + text}[shape]
        for _ in range(count):
            yield piece
        yield "]" if shape == "array" else ""

    class Generated(io.RawIOBase):
        left = b""
        source = pieces()

        def read(self, size=-1):
            while len(self.left) < size and (piece := next(self.source, None)) is not None:
                self.left += piece.encode()
            data, self.left = self.left[:size], self.left[size:]
            return data

    tracemalloc.start()
    try:
        votes = open_votes(Generated())
        read = sum(isinstance(vote, VoteRecord) for vote in votes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == count + (shape == "array")
    assert peak < 2_000_000


VALID = (
    json_lines(VOTE, VOTE).encode(),
    json.dumps([VOTE, {**VOTE, "winner": 'ti"e\\'}]).encode(),
    HEADER + b'x,"y ""y""\n",tie\nx,y,a\n',
)


@settings(deadline=None)
@given(st.sampled_from(VALID), st.data())
def test_damage_anywhere_gives_rows_or_a_refusal_never_a_crash(valid, data):
    damaged = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged)))
        damaged[position : position + data.draw(st.integers(0, 3))] = data.draw(
            st.binary(max_size=4)
        )
    try:
        read = readings(bytes(damaged))
    except UnknownFormat:
        return
    assert all(reading.line >= 1 for reading in read if isinstance(reading, BadRow))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_refusal(data):
    with contextlib.suppress(UnknownFormat):
        assert all(isinstance(reading, BadRow | VoteRecord | Skipped) for reading in readings(data))
