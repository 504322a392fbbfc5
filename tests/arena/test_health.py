"""Probes against a scripted server."""

from __future__ import annotations

import pytest

from arena import health
from arena.backends.base import BackendError, Target, Timeouts
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from tests import scripted_backend
from tests.scripted_backend import ScriptedBackend

KEY = "sk-CANARY-0123456789abcdef"


@pytest.fixture
async def backend():
    async with ScriptedBackend() as running:
        yield running


@pytest.fixture
async def probe(backend):
    """Probes a model of the scripted server."""
    client = BackendClient(AddressPolicy(["127.0.0.1:*"]))

    async def run(model, **timeouts):
        target = Target("openai", backend.base_url, KEY, Timeouts(**timeouts))
        return await health.probe(client, target, model)

    yield run
    await client.aclose()


async def test_a_probe_is_one_real_request(probe, backend):
    result = await probe("echo")
    assert result.ok
    assert result.text.strip() == health.PROBE_PROMPT
    assert [request["max_tokens"] for request in backend.requests] == [health.PROBE_TOKENS]


@pytest.mark.parametrize(("model", "saw"), [("sees:Orange.", True), ("sees:Blue", False)])
async def test_a_probe_with_an_image_shows_whether_it_is_read(backend, model, saw):
    client = BackendClient(AddressPolicy(["127.0.0.1:*"]))
    target = Target("openai", backend.base_url, KEY)
    result = await health.probe(client, target, model, with_image=True)
    await client.aclose()
    assert result.ok
    assert result.saw is saw
    assert result.text.startswith("[png] ")  # one image came


async def test_a_probe_without_an_image_says_nothing_about_sight(probe):
    assert (await probe("says:orange")).saw is None


async def test_a_probe_measures_what_a_reader_would_see(probe):
    result = await probe("count:20@500")
    assert result.ok
    assert result.streams
    assert result.finish_reason == "stop"
    assert (result.output_tokens, result.tokens_estimated) == (20, False)
    assert 0 < result.first_token < result.duration
    assert result.tokens_per_second == pytest.approx(
        19 / (result.duration - result.first_token), rel=1e-6
    )


async def test_tokens_the_server_does_not_report_are_estimated_and_said_to_be(probe):
    result = await probe("echo")
    assert result.tokens_estimated
    assert result.output_tokens == -(-len(result.text) // 4)


async def test_an_answer_in_one_piece_does_not_stream(probe):
    result = await probe("says:All at once")
    assert result.ok
    assert not result.streams


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("status:401", "authentication"),
        ("status:404", "not_found"),
        ("status:500", "unavailable"),
        ("dies", "disconnected"),
        ("empty", "empty"),
    ],
)
async def test_a_failure_is_a_result_not_an_exception(probe, model, kind):
    result = await probe(model)
    assert not result.ok
    assert result.error_kind == kind


async def test_the_administrator_reads_the_words_of_the_server(probe):
    assert "secret upstream words" in (await probe("status:500")).error


async def test_a_silent_server_ends_at_the_time_limit(probe):
    result = await probe("silent", first_token=0.05)
    assert result.error_kind == "first_token_timeout"
    assert result.first_token is None
    assert result.tokens_per_second is None


@pytest.mark.parametrize("model", ["repeats-headers:401", "quotes-headers"])
async def test_a_server_that_repeats_the_key_does_not_make_us_show_it(probe, model):
    result = await probe(model)
    shown = result.text + result.error
    assert "authorization: bearer [key]" in shown.lower()
    assert KEY not in shown


async def test_nobody_listening_is_said_plainly(probe, backend):
    await backend.stop()
    assert (await probe("echo")).error_kind == "connect"


def test_synchronous_callers_probe_and_list_too(settings):
    settings.PRIVATE_ENDPOINTS = ["127.0.0.1:*"]
    with scripted_backend.in_a_thread() as backend:
        backend.models = ("one", f"two-{KEY}")
        target = Target("openai", backend.base_url, KEY)
        assert health.model_names(target) == ["one", "two-[key]"]
        assert health.probe_now(target, "says:Hi").text == "Hi"


def test_a_probe_does_not_reach_an_address_the_settings_do_not_allow(settings):
    settings.PRIVATE_ENDPOINTS = []
    with scripted_backend.in_a_thread() as backend:
        target = Target("openai", backend.base_url, KEY)
        assert health.probe_now(target, "says:Hi").error_kind == "blocked_address"
        with pytest.raises(BackendError):
            health.model_names(target)
        assert backend.requests == []
