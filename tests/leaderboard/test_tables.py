"""The view of the leaderboard as CSV, JSON and Parquet."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet as pq
import pytest

from leaderboard.board import COLUMNS, ROW_FIELDS, tables
from leaderboard.models import Rating
from tests.leaderboard.boards import contestants, published

pytestmark = pytest.mark.django_db

EVERYTHING = f"columns={','.join(COLUMNS)}"


@pytest.fixture
def three():
    models = contestants(3)
    models[1].organisation = "=HYPERLINK(1)"
    models[1].open_weights = True
    models[1].context_length = 4096
    models[1].save()
    snapshot = published(models)
    Rating.objects.filter(snapshot=snapshot, contestant=models[2]).update(
        status="unrated", rating=None, lower=None, upper=None, rank=None, rank_low=None,
        rank_high=None, boot_lower=None, boot_upper=None, win_rate=None, both_bad_rate=None,
    )  # fmt: skip
    return snapshot


def as_csv(client, query=""):
    text = client.get(f"/leaderboard/export.csv?{query}").content.decode()
    return list(csv.DictReader(io.StringIO(text)))


def as_json(client, query=""):
    return client.get(f"/leaderboard/export.json?{query}").json()


def as_parquet(client, query=""):
    return pq.read_table(io.BytesIO(client.get(f"/leaderboard/export.parquet?{query}").content))


def test_each_field_of_a_column_is_a_field_of_a_row_and_has_a_type():
    fields = {field for column in COLUMNS.values() for field in column.fields}
    assert fields <= set(ROW_FIELDS)
    assert fields == set(tables.TYPES)


def test_three_files_of_one_view_hold_the_same_rows(client, three):
    query = f"{EVERYTHING}&sort=votes&order=asc"
    rows = as_json(client, query)["rows"]
    assert [row["model"] for row in rows] == ["Model 002", "Model 001", "Model 000"]
    assert as_parquet(client, query).to_pylist() == rows
    for cells, row in zip(as_csv(client, query), rows, strict=True):
        assert list(cells) == list(row)
        for name, value in row.items():
            if value is None or value is True:
                assert cells[name] == {None: "", True: "true"}[value]
            elif isinstance(value, float):
                assert float(cells[name]) == value
            else:
                assert cells[name].lstrip("'") == str(value)


def test_a_file_has_exactly_the_rows_and_columns_of_the_view(client, three):
    query = "columns=votes,rank&q=002"
    assert list(as_csv(client, query)[0]) == [
        "rank", "rank_low", "rank_high", "rank_change", "model", "slug", "votes"
    ]  # fmt: skip
    assert as_parquet(client, query).column("model").to_pylist() == ["Model 002"]


def test_a_cell_that_a_spreadsheet_would_run_is_escaped(client, three):
    assert as_csv(client)[1]["organisation"] == "'=HYPERLINK(1)"
    assert as_json(client)["rows"][1]["organisation"] == "=HYPERLINK(1)"


def test_parquet_columns_are_typed_even_where_no_row_has_a_value(client, three):
    schema = as_parquet(client, f"{EVERYTHING}&q=nobody").schema
    assert {field.name: str(field.type).replace("double", "float64") for field in schema} == {
        name: kind if kind != "bool" else "bool" for name, kind in tables.TYPES.items()
    }
    assert schema.metadata[b"snapshot"] == str(three.pk).encode()


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        ("csv", "text/csv; charset=utf-8"),
        ("json", "application/json"),
        ("parquet", "application/vnd.apache.parquet"),
    ],
)
def test_a_file_is_named_after_its_snapshot(client, three, kind, content_type):
    response = client.get(f"/leaderboard/export.{kind}")
    assert response["Content-Type"] == content_type
    assert response["Content-Disposition"] == (
        f'attachment; filename="leaderboard-overall-bradley_terry-snapshot-{three.pk}.{kind}"'
    )


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_before_anything_is_published_a_file_has_no_rows(client, kind):
    response = client.get(f"/leaderboard/export.{kind}")
    assert response.status_code == 200
    assert "snapshot-none" in response["Content-Disposition"]


def test_the_json_names_the_view_and_the_snapshot(client, three):
    content = as_json(client, "sort=model&order=asc")
    assert content["query"] == "sort=model"
    assert content["snapshot"]["id"] == three.pk
    assert content["snapshot"]["data_hash"] == three.data_hash
    json.dumps(content, allow_nan=False)


@pytest.mark.parametrize(("query", "status"), [("sort=charm", 422), ("category=charm", 404)])
def test_a_wrong_view_is_refused_in_words(client, three, query, status):
    response = client.get(f"/leaderboard/export.csv?{query}")
    assert response.status_code == status
    assert "charm" in response.content.decode()


def test_a_file_is_only_read(client, three):
    assert client.post("/leaderboard/export.csv").status_code == 405
