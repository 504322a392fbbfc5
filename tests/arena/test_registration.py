from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError

from arena import registration
from arena.local_models.catalogue import SLOTS
from arena.models import Breaker, Contestant, Endpoint, ModerationSettings
from tests import factories

SECRET = "sk-0123456789abcdef"


@pytest.fixture
def nothing_private(settings):
    settings.PRIVATE_ENDPOINTS = []


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "http://vllm.example.com:8000/v1",
        "https://example.com/openai?api-version=2024-10-21",
        "http://8.8.8.8/v1",
    ],
)
def test_a_plain_public_address_is_accepted(nothing_private, url):
    assert registration.check_base_url(f" {url} ") == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://user:password@example.com",
        "https://example.com\\@169.254.169.254/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1:8000/v1",
        "http://127.0.0.1:11434",
        "http://[::1]:11434",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::7f00:1]/",
        "http://2130706433/",
        "https://example.com:99999/",
        "https://[::1",
    ],
)
def test_an_address_that_is_unclear_or_private_is_refused_when_it_is_typed(nothing_private, url):
    with pytest.raises(ValidationError):
        registration.check_base_url(url)


def test_a_private_address_is_accepted_when_the_settings_name_it(settings):
    settings.PRIVATE_ENDPOINTS = ["127.0.0.1:8080"]
    assert registration.check_base_url("http://127.0.0.1:8080/v1")
    with pytest.raises(ValidationError, match="PRIVATE_ENDPOINTS"):
        registration.check_base_url("http://127.0.0.1:8081/v1")


def test_hostile_addresses_are_refused_or_left_to_the_check_on_connecting(
    nothing_private, shared_data
):
    """A name may resolve to anything, so only literal addresses can be refused this early."""
    lines = (shared_data / "hostile" / "ssrf_urls.jsonl").read_text().splitlines()
    assert len(lines) > 400
    for line in lines:
        item = json.loads(line)
        try:
            registration.check_base_url(item["url"])
        except ValidationError:
            assert item["verdict"] != "allow", item["url"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("https://api.example.com/v1", "http://api.example.com/v1"),
        ("https://api.example.com/v1", "https://evil.example.com/v1"),
        ("https://api.example.com/v1", "https://api.example.com:8443/v1"),
        ("https://api.example.com/v1", "https://api.example.com.evil.example/v1"),
    ],
)
def test_a_key_does_not_travel_to_another_origin(before, after):
    endpoint = factories.endpoint(base_url=before, api_key=SECRET)
    endpoint.base_url = after
    assert registration.save_endpoint(endpoint) is True
    stored = Endpoint.objects.get(pk=endpoint.pk)
    assert (stored.api_key_sealed, stored.api_key_hint) == ("", "")


@pytest.mark.django_db
def test_another_path_at_the_same_origin_keeps_the_key():
    endpoint = factories.endpoint(base_url="https://api.example.com/v1", api_key=SECRET)
    endpoint.base_url = "https://API.example.com/openai/v1"
    assert registration.save_endpoint(endpoint) is False
    assert Endpoint.objects.get(pk=endpoint.pk).target().api_key == SECRET


@pytest.mark.django_db
def test_a_key_that_comes_with_the_new_address_is_kept():
    endpoint = factories.endpoint(base_url="https://api.example.com/v1", api_key=SECRET)
    endpoint.base_url = "https://other.example.com/v1"
    assert registration.save_endpoint(endpoint, new_api_key="sk-of-the-new-address") is False
    assert Endpoint.objects.get(pk=endpoint.pk).target().api_key == "sk-of-the-new-address"


@pytest.mark.django_db
def test_a_key_can_be_erased():
    endpoint = factories.endpoint(api_key=SECRET)
    registration.save_endpoint(endpoint, erase_key=True)
    assert Endpoint.objects.get(pk=endpoint.pk).api_key_sealed == ""


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("after", "kept"),
    [
        ("https://check.example.com/v1", True),
        ("https://check.example.com/v2", True),
        ("http://check.example.com/v1", False),
        ("https://check.example.com:8443/v1", False),
        ("https://other.example.com/v1", False),
    ],
)
def test_the_key_of_moderation_does_not_travel_either(after, kept):
    house = ModerationSettings(provider="endpoint", base_url="https://check.example.com/v1")
    assert not registration.save_moderation(house, new_api_key="sk-0123456789abcdef")
    house = ModerationSettings.objects.get()
    house.base_url = after
    assert registration.save_moderation(house) is not kept
    assert bool(ModerationSettings.objects.get().api_key()) is kept
    assert registration.save_moderation(house, new_api_key="sk-another-one-0123") is False
    assert registration.save_moderation(house, erase_key=True) is False
    assert ModerationSettings.objects.get().api_key() == ""


@pytest.mark.django_db
def test_a_registered_model_is_a_draft_under_its_short_name():
    endpoint = factories.endpoint()
    contestant, new = registration.register_model(
        endpoint=endpoint, upstream_model=" meta-llama/Llama-3.1-8B-Instruct "
    )
    assert new
    assert contestant.name == "Llama-3.1-8B-Instruct"
    assert contestant.upstream_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert contestant.status == Contestant.Status.DRAFT
    assert not Contestant.objects.drawable().exists()


@pytest.mark.django_db
def test_registering_a_model_twice_gives_the_same_contestant():
    endpoint = factories.endpoint()
    first, _ = registration.register_model(endpoint=endpoint, upstream_model="m")
    again, new = registration.register_model(endpoint=endpoint, upstream_model="m")
    assert (again, new) == (first, False)


@pytest.mark.django_db
def test_the_same_model_at_two_endpoints_gets_two_names():
    names = [
        registration.register_model(endpoint=factories.endpoint(), upstream_model=model)[0].name
        for model in ("org/m", "other/m", "m/")
    ]
    assert names == ["m", "m 2", "m 3"]


@pytest.mark.django_db
@pytest.mark.parametrize("model", ["", "  ", "a\x00b", "a\nb", "x" * 201])
def test_a_name_that_no_server_could_know_is_refused(model):
    with pytest.raises(ValidationError):
        registration.register_model(endpoint=factories.endpoint(), upstream_model=model)
    assert not Contestant.objects.exists()


@pytest.mark.django_db
def test_a_long_name_is_cut_to_fit():
    for _ in range(2):
        contestant, _ = registration.register_model(
            endpoint=factories.endpoint(), upstream_model="x" * 200
        )
        contestant.full_clean()


CARD = {"name": "Tiny 1B", "organisation": "Org", "licence": "MIT"}


def start_local(port, **fields):
    given = {"upstream_model": "tiny", "api_key": f"key of port {port}", "card": CARD, **fields}
    return registration.register_local_model(base_url=f"http://127.0.0.1:{port}/v1", **given)


@pytest.mark.django_db
def test_a_local_model_keeps_its_votes_when_it_comes_back_on_another_port():
    first = start_local(5001)
    registration.disable_local_models()
    assert not Contestant.objects.drawable().exists()
    again = start_local(5002, upstream_model="tiny.gguf")
    assert again == first
    target = Contestant.objects.drawable().get().endpoint.target()
    assert (target.base_url, target.api_key) == ("http://127.0.0.1:5002/v1", "key of port 5002")
    assert Contestant.objects.get().upstream_model == "tiny.gguf"


@pytest.mark.django_db
def test_benchmark_runs_leave_a_slot_of_a_local_model_to_battles():
    assert start_local(5001).endpoint.evaluation_concurrency < SLOTS


@pytest.mark.django_db
def test_a_local_model_that_was_paused_stays_paused():
    Contestant.objects.filter(pk=start_local(5001).pk).update(status="paused")
    assert start_local(5002).status == Contestant.Status.PAUSED


@pytest.mark.django_db
def test_an_endpoint_of_somebody_else_is_not_disabled_with_the_local_ones():
    other = factories.endpoint()
    start_local(5001)
    registration.disable_local_models()
    assert list(Endpoint.objects.filter(enabled=True)) == [other]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields", [{"base_url": "http://127.0.0.1:10/v1"}, {"new_api_key": "sk-new"}]
)
def test_an_endpoint_that_was_mended_is_back_in_battles(fields):
    contestant = factories.contestant()
    endpoint = contestant.endpoint
    Breaker.objects.create(endpoint=endpoint, state="open", reason="authentication")
    registration.save_endpoint(endpoint)
    assert not Contestant.objects.drawable().exists()  # nothing has changed
    endpoint.base_url = fields.get("base_url", endpoint.base_url)
    registration.save_endpoint(endpoint, new_api_key=fields.get("new_api_key", ""))
    assert list(Contestant.objects.drawable()) == [contestant]
