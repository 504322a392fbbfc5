"""Files as they arrive: compressed, damaged, wrongly encoded, with values nobody can store."""

from __future__ import annotations

import gzip
import json

import pytest

from evaluation.formats import rows
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.rows import Row


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return write


def fields(read):
    return [row.fields for row in read if isinstance(row, Row)]


def reasons(read):
    return [(row.line, row.reason) for row in read if isinstance(row, BadRow)]


def test_gzip_is_known_by_its_first_bytes(file):
    assert fields(rows.json_lines(file(gzip.compress(b'{"a": 1}\n')))) == [{"a": 1}]
    assert rows.json_document(file(gzip.compress(b"[1]"))) == [1]
    assert fields(rows.csv_records(file(gzip.compress(b"a\n1\n")))) == [{"a": "1"}]


def test_a_byte_order_mark_is_not_part_of_the_first_key(file):
    assert fields(rows.json_lines(file(b'\xef\xbb\xbf{"a": 1}\n'))) == [{"a": 1}]
    assert fields(rows.csv_records(file(b"\xef\xbb\xbfa\n1\n"))) == [{"a": "1"}]


def test_blank_lines_are_no_rows_and_keep_their_numbers(file):
    read = list(rows.json_lines(file(b'\n{"a": 1}\n\n{"a": 2}')))
    assert [(row.index, row.line) for row in read] == [(0, 2), (1, 4)]


def test_a_line_that_is_not_an_object_costs_only_itself(file):
    read = list(rows.json_lines(file(b'{"a": 1}\n[1]\n{"a"\n{"a": 2}\n')))
    assert fields(read) == [{"a": 1}, {"a": 2}]
    assert [line for line, _ in reasons(read)] == [2, 3]
    assert read[-1].index == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\\u0000"}', "holds U+0000"),
        (b'{"a": NaN}', "not JSON: NaN is not JSON"),
        (b'{"a": 1e999}', "not JSON: a number out of range"),
    ],
)
def test_what_a_database_cannot_store_is_refused(file, content, reason):
    assert reasons(rows.json_lines(file(content + b"\n"))) == [(1, reason)]


def test_half_of_a_surrogate_pair_becomes_the_replacement_character(file):
    assert fields(rows.json_lines(file(b'{"a": "\\ud83d"}\n'))) == [{"a": "\ufffd"}]
    assert fields(rows.json_lines(file(b'{"a": "\\ud83d\\ude00"}\n'))) == [{"a": "😀"}]


def test_json_nested_without_end_is_refused(file):
    deep = b'{"a":' * 100_000
    assert reasons(rows.json_lines(file(deep)))[0][1] in (
        "JSON nested too deeply",
        "not JSON: Expecting value: line 1 column 500001 (char 500000)",
    )


def test_a_gzip_file_that_breaks_off_says_so(file):
    broken = gzip.compress(json.dumps({"a": "x" * 5000}).encode())[:-20]
    with pytest.raises(Unreadable, match="damaged"):
        list(rows.json_lines(file(broken)))


def test_a_line_without_an_end_is_not_read_into_memory(file, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW", 100)
    with pytest.raises(Unreadable, match="a line of more than 100 characters"):
        list(rows.json_lines(file(b'{"a": 1}\n' + b"x" * 101)))


def test_a_quote_that_never_closes_is_not_read_into_memory(file, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ROW", 100)
    with pytest.raises(Unreadable, match="a record of more than 100 characters"):
        list(rows.csv_records(file(b'a,b\n1,"' + b"x\n" * 80)))


def test_an_array_longer_than_the_limit_is_refused(file, monkeypatch):
    monkeypatch.setattr(rows, "MAX_ARRAY", 10)
    with pytest.raises(Unreadable, match="longer than 10"):
        rows.json_document(file(b"[" + b"1," * 10 + b"1]"))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_cells_may_hold_line_ends_and_records_are_named_by_their_first_line(file, end):
    content = b'q,a\n"one\ntwo",x\nthree,y\n'.replace(b"\n", end)
    read = list(rows.csv_records(file(content)))
    assert [row.fields["q"] for row in read] == [f"one{end.decode()}two", "three"]
    assert [row.line for row in read] == [2, 4]


def test_a_record_of_another_width_costs_only_itself(file):
    read = list(rows.csv_records(file(b"a,b\n1\n1,2\n1,2,3\n")))
    assert fields(read) == [{"a": "1", "b": "2"}]
    assert reasons(read) == [(2, "1 cells under 2 columns"), (4, "3 cells under 2 columns")]


def test_a_column_that_occurs_twice_is_refused(file):
    with pytest.raises(Unreadable, match="occurs twice"):
        list(rows.csv_records(file(b"a,a\n1,2\n")))


def test_columns_can_be_named_from_outside(file):
    read = rows.csv_records(file(b"1,2\n"), columns=("x", "y"))
    assert fields(read) == [{"x": "1", "y": "2"}]


def test_an_empty_file_has_no_header(file):
    with pytest.raises(Unreadable, match="empty"):
        list(rows.csv_records(file(b"")))
    assert list(rows.json_lines(file(b""))) == []


def test_a_missing_file_is_named_as_such(tmp_path):
    with pytest.raises(Unreadable, match="cannot be opened"):
        list(rows.json_lines(tmp_path / "nothing"))


def test_elements_of_an_array_are_counted_from_one(file):
    read = list(rows.elements([{"a": 1}, 2]))
    assert fields(read) == [{"a": 1}]
    assert reasons(read) == [(2, "not a JSON object")]
    with pytest.raises(Unreadable):
        list(rows.elements({"a": 1}))
