"""The API against its own OpenAPI document, with hostile and with valid requests (schemathesis).

ARENA_API_EXAMPLES=500 makes it a longer run.
"""

from __future__ import annotations

import os

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from leaderboard.api.operations import api
from leaderboard.tally import settling
from tests import factories
from tests.leaderboard.boards import contestants, published

DOCUMENT = "/api/v1/openapi.json"
PATHS = list(api.get_openapi_schema(path_prefix="/api/v1/")["paths"])
EXAMPLES = int(os.environ.get("ARENA_API_EXAMPLES", "12"))


@pytest.fixture
def document(db):
    """Loaded with votes, two methods, a retired model and one without a number in the database."""
    models = contestants(12)
    models[3].status = "retired"
    models[3].save()
    for other in models[1:4]:
        factories.vote(contestant_a=models[0], contestant_b=other)
    settling.settle_all()
    cells = [[0, n, "lo", n] for n in range(1, 12)]
    for category in ("overall", "coding"):
        for method in ("bradley_terry", "style_control"):
            for _ in range(2):
                snapshot = published(models, category=category, method=method, cells=cells)
            snapshot.ratings.filter(contestant=models[5]).update(
                status="unrated", rating=None, lower=None, upper=None, rank=None
            )
    # A request of its own would end the test's transaction: Django's test client does the same.
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield schemathesis.openapi.from_wsgi(DOCUMENT, get_wsgi_application())
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: f"{mode.value}-requests")
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_as_the_document_says(document, path, mode):
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(document[path]["GET"].as_strategy(generation_mode=mode))
    def agrees(case):
        # Its WSGI client says that it takes gzip and then does not unpack it.
        case.call_and_validate(headers={"Accept-Encoding": "identity"})

    try:
        agrees()
    except Unsatisfiable:
        # Without a parameter nothing about a request can be wrong.
        assert mode is GenerationMode.NEGATIVE
        assert not document.raw_schema["paths"][path]["get"].get("parameters")


@pytest.mark.django_db
class TestDocument:
    @pytest.fixture
    def content(self, client):
        return client.get(DOCUMENT).json()

    def test_each_operation_is_a_read_with_words_and_its_refusals(self, content):
        for path, operations in content["paths"].items():
            assert list(operations) == ["get"], path
            operation = operations["get"]
            assert operation["summary"]
            assert operation["description"]
            if operation.get("parameters"):
                assert {"200", "422"} <= set(operation["responses"])
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "query":
                    assert parameter["schema"]["description"], (path, parameter["name"])

    def test_what_may_be_missing_is_required_and_nullable(self, content):
        row = content["components"]["schemas"]["RowOut"]
        assert set(row["required"]) == set(row["properties"])
        for name in ("rating", "lower", "upper", "rank"):
            assert {"type": "null"} in row["properties"][name]["anyOf"]
            assert row["properties"][name]["description"]

    def test_operations_are_named_after_what_they_answer(self, content):
        names = {operations["get"]["operationId"] for operations in content["paths"].values()}
        assert names == {
            "leaderboard", "benchmarks", "categories", "snapshots", "snapshot", "models", "model",
            "history", "pairs", "votes",
        }  # fmt: skip
