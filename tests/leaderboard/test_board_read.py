"""The board as a page, the API and a file read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from evaluation.results.published import benchmarks
from leaderboard.board import (
    COLUMNS,
    STATUSES,
    BadParameter,
    BoardQuery,
    NoSuchCategory,
    billions,
    read,
)
from leaderboard.models import Category, Method, Rating
from tests import factories
from tests.leaderboard.boards import contestants, published

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def names(board) -> list[str]:
    return [row.model for row in board.rows]


def asked(query: str = "") -> list[str]:
    return names(read(BoardQuery.from_params(QueryDict(query))))


# --- the address ---------------------------------------------------------------------------------

queries = st.builds(
    BoardQuery,
    category=st.sampled_from(["overall", "coding"]),
    method=st.sampled_from(Method.values),
    search=st.text(max_size=40).map(lambda text: " ".join(text.split())),
    organisations=st.sets(st.text(min_size=1, max_size=9)).map(lambda s: tuple(sorted(s))),
    licences=st.sets(st.text(min_size=1, max_size=9)).map(lambda s: tuple(sorted(s))),
    quantisations=st.sets(st.text(min_size=1, max_size=9)).map(lambda s: tuple(sorted(s))),
    statuses=st.sets(st.sampled_from(STATUSES)).map(lambda s: tuple(sorted(s))),
    open_weights=st.none() | st.booleans(),
    min_size=st.none() | st.integers(0, 9999).map(lambda n: n / 10),
    max_size=st.none() | st.integers(0, 9999).map(lambda n: n / 10),
    retired=st.booleans(),
    sort=st.sampled_from(list(COLUMNS)),
    descending=st.booleans(),
    columns=st.sets(st.sampled_from(list(COLUMNS))).map(
        lambda chosen: tuple(key for key in COLUMNS if key in chosen or key == "model")
    ),
)


@given(queries)
def test_the_address_carries_the_whole_state(query):
    assert BoardQuery.from_params(QueryDict(query.encoded())) == query


@given(queries)
def test_the_address_is_the_same_in_whatever_order_it_was_written(query):
    turned = BoardQuery.from_params(QueryDict("&".join(reversed(query.encoded().split("&")))))
    assert turned.encoded() == query.encoded()


def test_the_default_view_has_an_empty_address_and_ignores_what_it_does_not_know():
    assert BoardQuery.from_params(QueryDict("utm_source=x&sort=&q=")).encoded() == ""


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("sort=charm", "sort"),
        ("order=up", "order"),
        ("method=magic", "method"),
        ("status=ok&status=fine", "status"),
        ("open_weights=1", "open_weights"),
        ("retired=yes", "retired"),
        ("min_size=7B", "min_size"),
        ("max_size=-1", "max_size"),
        ("min_size=nan", "min_size"),
        ("min_size=7%0A", "min_size"),
        ("columns=rank,charm", "columns"),
        (f"q={'x' * 101}", "q"),
        ("&".join(f"licence={n}" for n in range(51)), "licence"),
    ],
)
def test_a_wrong_value_names_its_parameter(query, parameter):
    with pytest.raises(BadParameter) as error:
        BoardQuery.from_params(QueryDict(query))
    assert error.value.parameter == parameter


def test_a_click_on_a_head_sorts_by_its_better_end_and_the_second_turns_it_round():
    by_votes = BoardQuery().sorted_by("votes")
    assert (by_votes.sort, by_votes.descending) == ("votes", True)
    assert by_votes.sorted_by("votes").descending is False
    assert BoardQuery(sort="votes", descending=True).sorted_by("price_input").descending is False


@pytest.mark.parametrize(
    ("stated", "number"),
    [("7B", 7), ("135M", 0.135), ("8x7B", 56), ("0.5 b", 0.5), ("1T", 1000), ("", None),
     ("big", None), ("7", None)],
)  # fmt: skip
def test_a_stated_size_is_read_as_billions(stated, number):
    assert billions(stated) == number


# --- the rows ------------------------------------------------------------------------------------


@pytest.fixture
def three(db):
    models = contestants(3)
    for model, organisation, licence, size, price, weights in zip(
        models,
        ("Acme", "Beta", "acme labs"),
        ("MIT", "Proprietary", "MIT"),
        ("7B", "", "70B"),
        (None, "2.5", "0.1"),
        (True, False, None),
        strict=True,
    ):
        model.organisation, model.licence, model.parameters = organisation, licence, size
        model.price_input, model.open_weights = price, weights
        model.save()
    return models


def test_before_anything_is_published_there_is_the_overall_board_without_rows(db):
    board = read(BoardQuery())
    assert (board.snapshot, board.rows, board.category.slug) == (None, (), "overall")
    assert [category.slug for category in board.categories] == ["overall"]


def test_a_row_holds_the_published_numbers_and_the_card(three):
    snapshot = published(three)
    board = read(BoardQuery())
    row = board.rows[1]
    assert (row.rank, row.rank_low, row.rank_high) == (2, 1, 3)
    assert (row.rating, row.lower, row.upper, row.plus, row.minus) == (1090, 1080, 1101, 11, 10)
    assert (row.boot_lower, row.boot_upper, row.votes) == (1081, 1102, 499)
    assert (row.win_rate, row.both_bad_rate, row.price_input) == (0.5, 0.1, 2.5)
    assert (row.organisation, row.licence, row.open_weights) == ("Beta", "Proprietary", False)
    assert board.snapshot.id == snapshot.pk
    assert board.snapshot.votes_counted == 1000


@pytest.mark.parametrize("hidden", ["preview", "draft"])
def test_a_model_without_a_public_name_has_no_row_whatever_is_asked(three, hidden):
    three[0].status = hidden
    three[0].save()
    published(three)
    assert asked("retired=true&q=model") == ["Model 001", "Model 002"]


def test_a_retired_model_shows_on_request_and_no_rank_moves(three):
    three[0].status = "retired"
    three[0].save()
    published(three)
    assert [(row.model, row.rank) for row in read(BoardQuery()).rows] == [
        ("Model 001", 2), ("Model 002", 3)
    ]  # fmt: skip
    first = read(BoardQuery(retired=True)).rows[0]
    assert (first.model, first.rank, first.retired) == ("Model 000", 1, True)


def test_filters_narrow_and_combine(three):
    published(three)
    assert asked("licence=MIT") == ["Model 000", "Model 002"]
    assert asked("licence=MIT&organisation=Acme") == ["Model 000"]
    assert asked("organisation=Acme&organisation=Beta") == ["Model 000", "Model 001"]
    assert asked("q=ACME+mit") == ["Model 000", "Model 002"]
    assert asked("open_weights=false") == ["Model 001"]
    assert asked("min_size=7&max_size=7") == ["Model 000"]
    assert asked("min_size=8") == ["Model 002"]
    assert asked("status=unrated") == []


def test_what_has_no_value_comes_last_in_either_direction(three):
    published(three)
    assert asked("sort=price_input") == ["Model 002", "Model 001", "Model 000"]
    assert asked("sort=price_input&order=desc") == ["Model 001", "Model 002", "Model 000"]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_column_sorts_also_where_models_have_no_number(three, column, order):
    snapshot = published(three)
    Rating.objects.filter(snapshot=snapshot, contestant=three[1]).update(
        status="unrated", rating=None, lower=None, upper=None, rank=None, rank_low=None,
        rank_high=None, boot_lower=None, boot_upper=None, win_rate=None, both_bad_rate=None,
    )  # fmt: skip
    assert sorted(asked(f"sort={column}&order={order}")) == [m.name for m in three]


def test_a_facet_counts_what_each_value_would_leave(three):
    published(three)
    facets = read(BoardQuery(organisations=("Acme",), licences=("MIT",))).facets
    assert {c.value: (c.count, c.chosen) for c in facets["organisation"]} == {
        "Acme": (1, True), "Beta": (0, False), "acme labs": (1, False)
    }  # fmt: skip
    assert {c.value: (c.count, c.chosen) for c in facets["licence"]} == {
        "MIT": (1, True), "Proprietary": (0, False)
    }  # fmt: skip


def test_the_change_of_rank_is_against_the_last_snapshot_of_an_earlier_day(three):
    best, middle, last = three
    published([last, best, middle], at=NOON - timedelta(days=2))
    published([middle, best], at=NOON - timedelta(days=1))
    published([last, middle, best], at=NOON - timedelta(hours=1))
    published([best, middle, last], at=NOON)
    changes = {row.model: row.rank_change for row in read(BoardQuery()).rows}
    assert changes == {"Model 000": 1, "Model 001": -1, "Model 002": None}


def test_a_model_with_few_votes_is_provisional(three, settings):
    published(three)
    settings.MIN_RATED_VOTES = 499
    assert [row.provisional for row in read(BoardQuery()).rows] == [False, False, True]
    assert "fewer than 499 votes" in read(BoardQuery()).rows[2].status_text


def test_another_method_is_another_board(three):
    published(three)
    published([three[1], three[0]], method="style_control")
    board = read(BoardQuery(method="style_control"))
    assert names(board) == ["Model 001", "Model 000"]
    assert [value for value, _ in board.methods] == ["bradley_terry", "style_control"]


# --- categories ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("votes", "models", "shown"), [(100, 10, True), (99, 10, False),
                                                        (100, 9, False)])  # fmt: skip
def test_a_category_is_shown_from_100_battles_and_10_models(db, votes, models, shown):
    published(contestants(models), category="coding", votes=votes)
    board = read(BoardQuery())
    assert ("coding" in [c.slug for c in board.categories]) is shown
    if shown:
        assert read(BoardQuery(category="coding")).category.models == models
    else:
        with pytest.raises(NoSuchCategory):
            read(BoardQuery(category="coding"))


def test_both_thresholds_are_settings(three, settings):
    settings.MIN_CATEGORY_BATTLES, settings.MIN_CATEGORY_MODELS = 1, 3
    published(three, category="coding", votes=1)
    assert names(read(BoardQuery(category="coding"))) == [m.name for m in three]


def test_models_without_votes_do_not_make_a_category(three, settings):
    settings.MIN_CATEGORY_BATTLES, settings.MIN_CATEGORY_MODELS = 1, 3
    snapshot = published(three, category="coding")
    Rating.objects.filter(snapshot=snapshot, contestant=three[0]).update(votes=0)
    assert [c.slug for c in read(BoardQuery()).categories] == ["overall"]


def test_an_unknown_category_is_no_board(three):
    with pytest.raises(NoSuchCategory):
        read(BoardQuery(category="nonsense"))


def test_the_number_of_queries_does_not_grow(three, django_assert_num_queries):
    published(three, at=NOON - timedelta(days=1))
    published(three)
    benchmarks()  # a process reads them once for each change
    with django_assert_num_queries(6):
        read(BoardQuery())
    more = [factories.contestant(name=f"More {n}") for n in range(20)]
    for category in Category.objects.all():
        published([*three, *more], category=category.slug)
    with django_assert_num_queries(6):
        read(BoardQuery())
