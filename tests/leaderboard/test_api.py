"""The public API: what it says, what it never says, and how cheaply."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evaluation.results.published import benchmarks
from leaderboard import snapshots
from leaderboard.formats import arena
from leaderboard.models import Category
from leaderboard.tally import settling
from tests import factories
from tests.leaderboard.boards import contestants, published

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
PATHS = [
    "leaderboard", "benchmarks", "categories", "snapshots", "models", "models/model-000",
    "models/model-000/history", "pairs", "votes", "openapi.json", "docs",
]  # fmt: skip


@pytest.fixture
def three():
    return contestants(3)


def get(client, path, **params):
    response = client.get(f"/api/v1/{path}", params)
    assert response.status_code == 200, response.content
    return response.json()


def refused(client, path, **params):
    response = client.get(f"/api/v1/{path}", params)
    assert response["Content-Type"] == "application/json"
    return response.status_code, response.json()["parameter"]


# --- what it says --------------------------------------------------------------------------------


def test_the_leaderboard_is_that_of_the_page_with_the_same_parameters(client, three):
    snapshot = published(three)
    board = get(client, "leaderboard", sort="votes", order="asc", q="model 00")
    assert board["query"] == "q=model+00&sort=votes&order=asc"
    assert board["snapshot"]["id"] == snapshot.pk
    assert [row["model"] for row in board["rows"]] == ["Model 002", "Model 001", "Model 000"]
    assert board["rows"][2]["rating"] == 1100
    assert board["facets"]["licence"][0]["count"] == 3


def test_before_anything_is_published_every_list_is_empty(client):
    assert get(client, "leaderboard")["snapshot"] is None
    assert get(client, "snapshots") == {"snapshots": [], "next": None}
    assert get(client, "pairs") == {"snapshot": None, "pairs": [], "total": 0, "next": None}
    assert get(client, "votes") == {"votes": [], "next": None}
    assert get(client, "models") == {"models": []}
    assert [c["slug"] for c in get(client, "categories")["categories"]] == ["overall"]


def test_snapshots_are_paged_newest_first_and_filtered(client, three):
    ids = [published(three).pk for _ in range(5)]
    style = published(three, method="style_control").pk
    seen, before = [], {}
    while True:
        page = get(client, "snapshots", limit=2, **before)
        seen += [snapshot["id"] for snapshot in page["snapshots"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == [style, *reversed(ids)]
    only = get(client, "snapshots", method="style_control", category="overall")
    assert [snapshot["id"] for snapshot in only["snapshots"]] == [style]


def test_an_old_snapshot_keeps_its_rows(client, three):
    old = published(three)
    published(three[:1])
    content = get(client, f"snapshots/{old.pk}")
    assert content["snapshot"]["superseded"] is True
    assert [row["slug"] for row in content["rows"]] == ["model-000", "model-001", "model-002"]


def test_a_model_says_where_it_stands_in_each_category_shown(client, three, settings):
    settings.MIN_CATEGORY_MODELS = 3
    published(three)
    published(list(reversed(three)), category="coding")
    published(three, category="math", votes=1)
    content = get(client, "models/model-000")
    assert content["model"]["name"] == "Model 000"
    assert [(s["category"], s["rank"]) for s in content["standings"]] == [
        ("overall", 1), ("coding", 3)
    ]  # fmt: skip


def test_the_history_of_a_model_is_paged_newest_first(client, three):
    ids = [published(three, at=NOON + timedelta(days=day)).pk for day in range(3)]
    first = get(client, "models/model-001/history", limit=2)
    assert [s["snapshot"] for s in first["history"]] == [ids[2], ids[1]]
    rest = get(client, "models/model-001/history", limit=2, before=first["next"])
    assert [s["snapshot"] for s in rest["history"]] == [ids[0]]
    assert rest["next"] is None


def test_pairs_are_the_counts_stored_with_the_snapshot(client, three):
    cells = [[0, 1, "lo", 5], [0, 1, "hi", 2], [0, 1, "tie", 3], [0, 1, "both_bad", 1],
             [1, 2, "hi", 4]]  # fmt: skip
    published(three, cells=cells)
    content = get(client, "pairs")
    assert content["pairs"] == [
        {"model_a": "model-000", "model_b": "model-001", "battles": 11, "wins_a": 5, "wins_b": 2,
         "ties": 3, "both_bad": 1},
        {"model_a": "model-001", "model_b": "model-002", "battles": 4, "wins_a": 0, "wins_b": 4,
         "ties": 0, "both_bad": 0},
    ]  # fmt: skip
    second = get(client, "pairs", limit=1, page=2)
    assert (len(second["pairs"]), second["total"], second["next"]) == (1, 2, None)
    assert get(client, "pairs", limit=1)["next"] == 2


def test_what_a_real_snapshot_stored_adds_up_to_its_votes(client, three):
    for better, worse in ((0, 1), (1, 2), (2, 0)):
        for choice in ("a", "b", "tie", "both_bad"):
            factories.vote(choice, contestant_a=three[better], contestant_b=three[worse])
    settling.settle_all()
    snapshots.publish(Category.objects.get(slug="overall"))
    pairs = get(client, "pairs")["pairs"]
    assert [p["battles"] for p in pairs] == [4, 4, 4]
    assert all(p["wins_a"] == p["wins_b"] == p["ties"] == p["both_bad"] == 1 for p in pairs)


def test_votes_are_paged_by_cursor_without_gap_or_repeat(client, three):
    votes = [factories.vote(contestant_a=three[0], contestant_b=three[1]) for _ in range(5)]
    settling.settle_all()
    seen, after = [], 0
    while after is not None:
        page = get(client, "votes", limit=2, after=after)
        seen += [vote["vote_id"] for vote in page["votes"]]
        after = page["next"]
    assert seen == [vote.battle.public_id for vote in votes]


def test_a_vote_is_a_row_of_the_public_export_with_its_digest(client, three):
    factories.vote("a", contestant_a=three[0], contestant_b=three[1])
    settling.settle_all()
    vote = get(client, "votes")["votes"][0]
    assert (vote["model_a"], vote["model_b"], vote["winner"]) == (
        "Model 000", "Model 001", "model_a"
    )  # fmt: skip
    assert vote["counted"] is True
    flat = {key: value for key, value in vote.items() if key != "styles"}
    assert {*flat, *arena.STYLE_COLUMNS} == set(arena.COLUMNS)
    assert set(vote["styles"]) == set(arena.STYLE_COLUMNS)


# --- what it never says --------------------------------------------------------------------------

SECRETS = ["canary-host", "canary-upstream", "Canary Preview", "Canary Draft", "canary-"]


def test_no_answer_names_an_endpoint_an_upstream_model_a_hidden_model_or_a_voter(client, three):
    endpoint = factories.endpoint(name="canary-endpoint", base_url="http://canary-host:9/v1")
    shown = factories.contestant(name="Shown", endpoint=endpoint, upstream_model="canary-upstream")
    hidden = [
        factories.contestant(name=f"Canary {s.title()}", slug=f"canary-{s}", status=s,
                             endpoint=endpoint)
        for s in ("preview", "draft")
    ]  # fmt: skip
    voters = []
    for a, b in ((shown, hidden[0]), (hidden[1], shown), (shown, three[0])):
        voters.append(factories.vote(contestant_a=a, contestant_b=b).voter.key)
    settling.settle_all()
    models = [hidden[0], shown, *three, hidden[1]]
    snapshot = published(models, cells=[[0, 1, "lo", 5], [1, 5, "hi", 5], [1, 2, "lo", 5]])
    paths = [*PATHS, "models/shown", "models/shown/history", f"snapshots/{snapshot.pk}",
             "leaderboard?retired=true&q=canary&status=ok"]  # fmt: skip
    for path in paths:
        text = client.get(f"/api/v1/{path}").content.decode()
        assert not [secret for secret in SECRETS if secret in text], path
        assert not [key for key in voters if key in text], path
    assert len(get(client, "votes")["votes"]) == 1
    assert get(client, "pairs")["total"] == 1
    for slug in ("canary-preview", "canary-draft"):
        assert client.get(f"/api/v1/models/{slug}").status_code == 404
        assert client.get(f"/api/v1/models/{slug}/history").status_code == 404


# --- how it refuses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("leaderboard", {"sort": "charm"}, "sort"),
        ("leaderboard", {"status": ["ok", "fine"]}, "status"),
        ("leaderboard", {"retired": "1"}, "retired"),
        ("leaderboard", {"category": "no spaces"}, "category"),
        ("leaderboard", {"q": "x" * 101}, "q"),
        ("snapshots", {"limit": 501}, "limit"),
        ("snapshots", {"before": "1_0"}, "before"),
        ("snapshots/0", {}, "snapshot"),
        ("snapshots/99999999999999999999", {}, "snapshot"),
        ("pairs", {"limit": 5001}, "limit"),
        ("votes", {"limit": 1001}, "limit"),
        ("votes", {"after": -1}, "after"),
    ],
)
def test_a_wrong_parameter_is_named(client, path, params, parameter):
    assert refused(client, path, **params) == (422, parameter)


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("leaderboard", {"category": "charm"}, "category"),
        ("snapshots", {"category": "charm"}, "category"),
        ("pairs", {"category": "charm"}, "category"),
        ("models/model-000/history", {"category": "charm"}, "category"),
        ("models/charm", {}, None),
        ("models/charm/history", {}, None),
        ("snapshots/9999", {}, None),
        ("charm", {}, None),
    ],
)
def test_what_is_not_there_is_a_404_in_json(client, three, path, params, parameter):
    assert refused(client, path, **params) == (404, parameter)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_but_reading_is_answered(client, method):
    response = getattr(client, method)("/api/v1/models")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
    assert "GET" in response.json()["detail"]


def test_an_error_states_the_length_that_it_has(client):
    response = client.get("/api/v1/charm")
    assert int(response["Content-Length"]) == len(response.content)


# --- how it travels ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PATHS, "charm", "leaderboard?sort=charm"])
def test_any_origin_may_read_and_no_cookie_is_set(client, three, path):
    published(three)
    response = client.get(f"/api/v1/{path}", headers={"Origin": "https://elsewhere.example"})
    assert response["Access-Control-Allow-Origin"] == "*"
    assert not response.cookies


def test_a_browser_may_ask_before_it_sends_a_tag(client):
    response = client.options(
        "/api/v1/models",
        headers={"Origin": "https://x.example", "Access-Control-Request-Method": "GET"},
    )
    assert response.status_code == 204
    assert "If-None-Match" in response["Access-Control-Allow-Headers"]


def test_pages_outside_the_api_are_not_opened_to_other_origins(client):
    assert "Access-Control-Allow-Origin" not in client.get("/leaderboard/")


@pytest.mark.parametrize("path", [path for path in PATHS if path != "docs"])
def test_an_unchanged_answer_costs_no_body(client, three, path):
    published(three)
    first = client.get(f"/api/v1/{path}")
    assert first["Cache-Control"].startswith("public, max-age=")
    second = client.get(f"/api/v1/{path}", headers={"If-None-Match": first["ETag"]})
    assert (second.status_code, second.content) == (304, b"")


def test_a_head_has_the_tag_and_no_body(client, three):
    published(three)
    response = client.head("/api/v1/leaderboard")
    assert (response.status_code, response.content) == (200, b"")
    assert response["ETag"] == client.get("/api/v1/leaderboard")["ETag"]


def test_a_new_snapshot_is_seen_at_once_and_has_another_tag(client, three):
    published(three)
    before = client.get("/api/v1/leaderboard")
    newer = published(list(reversed(three)))
    after = client.get("/api/v1/leaderboard", headers={"If-None-Match": before["ETag"]})
    assert after.status_code == 200
    assert after.json()["snapshot"]["id"] == newer.pk


@pytest.mark.parametrize("path", [path for path in PATHS if path != "openapi.json"])
def test_the_number_of_queries_does_not_grow(
    client, three, path, django_assert_max_num_queries, django_assert_num_queries
):
    def votes(number, a, b):
        for _ in range(number):
            factories.vote(contestant_a=a, contestant_b=b)
        settling.settle_all()

    votes(1, three[0], three[1])
    published(three, cells=[[0, 1, "lo", 1]])
    benchmarks()  # a process reads them once for each change
    with django_assert_max_num_queries(12) as few:
        client.get(f"/api/v1/{path}")
    more = [*three, *(factories.contestant(name=f"More {n}") for n in range(9))]
    votes(4, more[4], more[5])
    for category in Category.objects.all():
        published(more, category=category.slug, cells=[[0, n, "lo", 1] for n in range(1, 9)])
    with django_assert_num_queries(len(few.captured_queries)):
        client.get(f"/api/v1/{path}")


def test_the_page_for_people_lists_every_operation_and_fetches_nothing_from_elsewhere(client):
    page = client.get("/api/v1/docs").content.decode()
    for path in get(client, "openapi.json")["paths"]:
        assert f"GET {path}<" in page
    assert "https://" not in page
    assert '<script src="http' not in page
