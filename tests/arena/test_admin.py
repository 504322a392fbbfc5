"""What an administrator does: register an endpoint, probe it, look at battles, judge votes."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from arena import votes
from arena.backends.registry import ADAPTERS
from arena.models import Battle, Breaker, Contestant, Endpoint, Vote
from tests import factories, scripted_backend

pytestmark = pytest.mark.django_db
KEY = "sk-CANARY-0123456789abcdef"


@pytest.fixture
def backend(settings):
    settings.PRIVATE_ENDPOINTS = ["127.0.0.1:*"]
    with scripted_backend.in_a_thread() as running:
        yield running


def endpoint_form(**fields):
    form = {
        "name": "Here", "kind": "openai", "base_url": "https://api.example.com/v1",
        "new_api_key": "", "enabled": "on",
        "connect_timeout": "5", "first_token_timeout": "30", "gap_timeout": "20",
        "total_timeout": "60",
    }  # fmt: skip
    return {**form, **fields}


INLINES = {"contestants-TOTAL_FORMS": "0", "contestants-INITIAL_FORMS": "0"}


def add_url():
    return reverse("admin:arena_endpoint_add")


def change_url(row):
    return reverse(f"admin:arena_{row._meta.model_name}_change", args=[row.pk])


def probe_url(endpoint):
    return reverse("admin:arena_endpoint_probe", args=[endpoint.pk])


# --- registering -------------------------------------------------------------------------------


def test_each_kind_is_offered_with_its_title_and_usual_address(admin_client):
    page = admin_client.get(add_url()).content.decode()
    for adapter in ADAPTERS.values():
        assert adapter.title in page
        assert adapter.default_base_url in page


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
def test_an_address_left_empty_is_the_usual_one_of_the_kind(admin_client, kind):
    admin_client.post(add_url(), endpoint_form(kind=kind, base_url=""))
    assert Endpoint.objects.get().base_url == ADAPTERS[kind].default_base_url


def test_from_an_address_to_a_contestant_in_battles(admin_client, backend):
    backend.models = ("org/echo", "says:Hello")
    response = admin_client.post(
        add_url(), endpoint_form(base_url=backend.base_url, new_api_key=KEY, _probe="1")
    )
    endpoint = Endpoint.objects.get()
    assert response.url == probe_url(endpoint)
    listed = admin_client.get(response.url).content.decode()
    assert "org/echo" in listed
    assert backend.requests == []  # looking sends no chat

    probed = admin_client.post(probe_url(endpoint), {"model": "says:Hello"}).content.decode()
    assert "says:Hello</code> answers" in probed
    assert len(backend.requests) == 1

    response = admin_client.post(probe_url(endpoint), {"register": "org/echo"}, follow=True)
    contestant = Contestant.objects.get()
    assert response.redirect_chain[-1][0] == change_url(contestant)
    assert "registered as a draft" in response.content.decode()
    assert (contestant.name, contestant.upstream_model) == ("echo", "org/echo")

    card = {
        "name": "Echo", "status": "active", "weight": "1", "endpoint": endpoint.pk,
        "upstream_model": "org/echo", "organisation": "Org",
    }  # fmt: skip
    admin_client.post(change_url(contestant), card)
    assert Contestant.objects.drawable().get().name == "Echo"
    assert "Echo</a>" in admin_client.get(probe_url(endpoint)).content.decode()


def test_plain_save_stays_with_the_administrators_list(admin_client):
    response = admin_client.post(add_url(), endpoint_form(_save="1"))
    assert response.url == reverse("admin:arena_endpoint_changelist")


def test_save_and_probe_leads_from_an_old_endpoint_too(admin_client):
    endpoint = factories.endpoint()
    response = admin_client.post(change_url(endpoint), {**endpoint_form(_probe="1"), **INLINES})
    assert response.url == probe_url(endpoint)


def test_a_model_the_server_does_not_list_can_be_typed(admin_client, backend):
    endpoint = factories.endpoint(base_url=backend.base_url)
    page = admin_client.post(probe_url(endpoint), {"typed": "echo", "do": "probe"})
    assert "echo</code> answers" in page.content.decode()
    admin_client.post(probe_url(endpoint), {"typed": "echo", "do": "register"})
    assert Contestant.objects.get().upstream_model == "echo"


def test_a_bad_model_name_is_refused_with_a_reason(admin_client, backend):
    endpoint = factories.endpoint(base_url=backend.base_url)
    page = admin_client.post(
        probe_url(endpoint), {"typed": " ", "do": "register"}, follow=True
    ).content.decode()
    assert "Name a model of the endpoint." in page
    assert not Contestant.objects.exists()


def test_a_server_that_is_not_there_is_said_to_be_so(admin_client):
    page = admin_client.get(probe_url(factories.endpoint())).content.decode()
    assert "did not list its models: connect" in re.sub(r"<[^>]+>", "", page)


def test_a_failed_probe_shows_the_words_of_the_server_as_text(admin_client, backend):
    endpoint = factories.endpoint(base_url=backend.base_url)
    page = admin_client.post(probe_url(endpoint), {"model": "status:500"}).content.decode()
    assert "failed: unavailable" in page
    assert "secret upstream words" in page
    page = admin_client.post(probe_url(endpoint), {"model": "says:<b>Hi</b>"}).content.decode()
    assert "<b>Hi</b>" not in page
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("form", "verdict"),
    [
        ({"with_image": "sees:orange"}, "Tick “reads images”"),
        ({"typed": "sees:orange", "do": "with_image"}, "Tick “reads images”"),
        ({"with_image": "sees:nothing"}, "without naming the colour"),
    ],
)
def test_a_probe_with_an_image_says_whether_the_model_reads_it(
    admin_client, backend, form, verdict
):
    endpoint = factories.endpoint(base_url=backend.base_url)
    page = admin_client.post(probe_url(endpoint), form).content.decode()
    assert verdict in page
    assert "[png]" in page
    plain = admin_client.post(probe_url(endpoint), {"model": "says:orange"}).content.decode()
    assert verdict not in plain


def test_a_private_address_is_refused_with_the_setting_that_allows_it(admin_client, settings):
    settings.PRIVATE_ENDPOINTS = []
    page = admin_client.post(add_url(), endpoint_form(base_url="http://10.0.0.5:8000/v1"))
    assert "PRIVATE_ENDPOINTS" in page.content.decode()
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("key", ["sk-with\u00e9", "sk-two\u2028lines"])
def test_a_key_no_header_can_carry_is_refused_and_not_repeated(admin_client, key):
    page = admin_client.post(add_url(), endpoint_form(new_api_key=key)).content.decode()
    assert "plain ASCII" in page
    assert key not in page
    assert not Endpoint.objects.exists()


# --- keys --------------------------------------------------------------------------------------


def test_a_changed_origin_erases_the_key_and_says_so(admin_client):
    endpoint = factories.endpoint(base_url="https://api.example.com/v1", api_key=KEY)
    form = endpoint_form(base_url="https://other.example.com/v1")
    page = admin_client.post(change_url(endpoint), {**form, **INLINES}, follow=True)
    assert "the stored API key was erased" in page.content.decode()
    assert Endpoint.objects.get().api_key_sealed == ""


def test_an_empty_field_keeps_the_key_and_the_box_erases_it(admin_client):
    endpoint = factories.endpoint(base_url="https://api.example.com/v1", api_key=KEY)
    admin_client.post(change_url(endpoint), {**endpoint_form(), **INLINES})
    assert Endpoint.objects.get().target().api_key == KEY
    admin_client.post(change_url(endpoint), {**endpoint_form(erase_api_key="on"), **INLINES})
    assert Endpoint.objects.get().target().api_key == ""


def test_a_key_that_cannot_be_read_any_more_is_explained(admin_client, settings):
    endpoint = factories.endpoint(api_key=KEY)
    settings.ENCRYPTION_KEYS = ["A" * 43 + "="]
    for response in (
        admin_client.get(probe_url(endpoint)),
        admin_client.post(probe_url(endpoint), {"model": "echo"}),
    ):
        assert "enter the API key again" in response.content.decode()


def everything_stored():
    """Every row of every table, as text."""
    return "\n".join(
        serializers.serialize("json", model._default_manager.all()) for model in apps.get_models()
    )


@pytest.mark.parametrize("model", ["repeats-headers:401", "repeats-headers:500", "quotes-headers"])
def test_a_key_once_typed_is_nowhere(admin_client, backend, caplog, model):
    """Even where a server repeats the request's headers in what it answers."""
    caplog.set_level("DEBUG")
    shown = []

    def see(response):
        shown.extend([response.content.decode(), str(response.headers), str(response.cookies)])
        return response

    see(admin_client.post(add_url(), endpoint_form(base_url="nonsense", new_api_key=KEY)))
    form = endpoint_form(base_url=backend.base_url, new_api_key=KEY)
    see(admin_client.post(add_url(), form, follow=True))
    endpoint = Endpoint.objects.get()
    assert endpoint.target().api_key == KEY
    see(admin_client.get(change_url(endpoint)))
    see(admin_client.post(change_url(endpoint), {**form, **INLINES}, follow=True))
    see(admin_client.get(probe_url(endpoint)))
    probed = see(admin_client.post(probe_url(endpoint), {"model": model}))
    assert "[key]" in probed.content.decode()  # the server did repeat it
    see(admin_client.post(probe_url(endpoint), {"register": model}, follow=True))
    see(admin_client.get(reverse("admin:arena_endpoint_changelist")))
    see(admin_client.get(reverse("admin:arena_endpoint_history", args=[endpoint.pk])))
    see(admin_client.get(reverse("admin:arena_endpoint_delete", args=[endpoint.pk])))

    assert LogEntry.objects.count() == 3
    assert KEY not in "\n".join(shown)
    assert KEY not in everything_stored()
    assert KEY not in caplog.text
    assert endpoint.api_key_sealed not in "\n".join(shown)


# --- who may what ------------------------------------------------------------------------------


def test_nobody_but_staff_sees_the_pages(client, django_user_model):
    endpoint = factories.endpoint()
    client.force_login(django_user_model.objects.create_user("visitor"))
    for url in (add_url(), change_url(endpoint), probe_url(endpoint)):
        assert reverse("admin:login") in client.get(url).url
        assert reverse("admin:login") in client.post(url, {"model": "echo"}).url


def test_who_may_only_look_neither_probes_nor_sees_a_field_for_the_key(staff):
    endpoint = factories.endpoint(api_key=KEY)
    client = staff("view_endpoint")
    page = client.get(change_url(endpoint)).content.decode()
    assert "…cdef" in page
    assert "new_api_key" not in page
    assert "_probe" not in page
    assert client.get(probe_url(endpoint)).status_code == 403
    assert client.post(probe_url(endpoint), {"model": "echo"}).status_code == 403
    assert client.post(change_url(endpoint), endpoint_form()).status_code == 403


def test_who_may_not_add_contestants_registers_none(staff, backend):
    endpoint = factories.endpoint(base_url=backend.base_url)
    client = staff("view_endpoint", "change_endpoint")
    assert "Register as contestant" not in client.get(probe_url(endpoint)).content.decode()
    assert client.post(probe_url(endpoint), {"register": "echo"}).status_code == 403
    assert not Contestant.objects.exists()


def test_probing_needs_the_csrf_token(admin_user):
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    endpoint = factories.endpoint()
    assert client.post(probe_url(endpoint), {"model": "echo"}).status_code == 403


# --- contestants -------------------------------------------------------------------------------


def test_the_list_says_who_is_in_battles_and_leads_to_the_probe(admin_client):
    drawn = factories.contestant()
    factories.contestant(endpoint=factories.endpoint(enabled=False))
    page = admin_client.get(reverse("admin:arena_contestant_changelist")).content.decode()
    assert page.count('alt="True"') == 1
    assert page.count('alt="False"') == 1
    assert probe_url(drawn.endpoint) in page


# --- health ------------------------------------------------------------------------------------


def out_of_battles(**fields):
    """A contestant whose endpoint is out of battles."""
    contestant = factories.contestant(**fields.pop("contestant", {}))
    breaker = {"state": "open", "reason": "unavailable", **fields}
    Breaker.objects.create(endpoint=contestant.endpoint, **breaker)
    return contestant


def list_of_endpoints(client):
    return client.get(reverse("admin:arena_endpoint_changelist"))


def test_the_list_draws_the_last_day_of_each_endpoint(admin_client):
    model = factories.contestant()
    for outcome in ("answered", "answered", "stalled", "cancelled"):
        factories.upstream_request(outcome, contestant=model)
    factories.endpoint()
    page = list_of_endpoints(admin_client).content.decode()
    assert "Last 24 hours: 2 answered, 1 failed" in page
    assert "1 of 3 failed" in page
    assert "not asked" in page
    bars = re.findall(r'<rect class="arena-spark-(\w+)"[^>]* height="([\d.]+)"', page)
    assert {kind: float(height) for kind, height in bars if kind != "nothing"} == {
        "answered": pytest.approx(13.3), "failed": pytest.approx(6.7),
    }  # fmt: skip


def test_the_list_says_who_is_out_of_battles_and_why(admin_client):
    soon = timezone.now() + timedelta(minutes=5)
    out_of_battles(until=soon)
    out_of_battles(reason="tls")
    out_of_battles(state="paused", reason="rate_limited", until=soon)
    missing = factories.contestant()
    Breaker.objects.create(contestant=missing, state="open", reason="not_found", until=soon)
    page = list_of_endpoints(admin_client).content.decode()
    for words in ("until a probe is answered", "Out until you act", "Paused until"):
        assert page.count(words) == 1
    assert f"{missing.name} out" in page


def test_a_pause_that_is_over_is_no_longer_shown(admin_client):
    ago = timezone.now() - timedelta(seconds=1)
    out_of_battles(state="paused", reason="rate_limited", until=ago)
    assert "Paused" not in list_of_endpoints(admin_client).content.decode()


def test_the_health_of_many_endpoints_costs_no_more_queries(
    admin_client, django_assert_max_num_queries
):
    for _ in range(3):
        factories.upstream_request(contestant=out_of_battles())
    with CaptureQueriesContext(connection) as few:
        list_of_endpoints(admin_client)
    for _ in range(10):
        factories.upstream_request(contestant=out_of_battles())
    with django_assert_max_num_queries(len(few)):
        list_of_endpoints(admin_client)


def test_an_endpoint_is_taken_back_into_battles_with_a_trace(admin_client):
    model = out_of_battles(reason="tls")
    form = {"action": "take_back", "_selected_action": [model.endpoint_id]}
    page = admin_client.post(reverse("admin:arena_endpoint_changelist"), form, follow=True)
    assert f"Back in battles: {model.endpoint.name}." in page.content.decode()
    assert list(Contestant.objects.drawable()) == [model]
    assert LogEntry.objects.get().change_message == "Taken back into battles."
    again = admin_client.post(reverse("admin:arena_endpoint_changelist"), form, follow=True)
    assert "None of them was out of battles." in again.content.decode()


def test_who_may_only_look_takes_nothing_back(staff):
    model = out_of_battles()
    client = staff("view_endpoint")
    form = {"action": "take_back", "_selected_action": [model.endpoint_id]}
    client.post(reverse("admin:arena_endpoint_changelist"), form)
    assert not Contestant.objects.drawable().exists()


@pytest.mark.parametrize(("script", "back"), [("says:Hello", True), ("status:500", False)])
def test_a_probe_that_is_answered_ends_the_absence(admin_client, backend, script, back):
    endpoint = factories.endpoint(base_url=backend.base_url)
    model = out_of_battles(contestant={"endpoint": endpoint, "upstream_model": script})
    url = reverse("admin:arena_endpoint_probe", args=[endpoint.pk])
    page = admin_client.post(url, {"model": script}).content.decode()
    assert ("is back in them" in page) is back
    assert Contestant.objects.drawable().filter(pk=model.pk).exists() is back


def test_what_an_endpoint_said_stands_in_the_log(admin_client):
    request = factories.upstream_request("unavailable", detail="CUDA out of memory " * 20)
    page = admin_client.get(reverse("admin:arena_upstreamrequest_changelist")).content.decode()
    assert "CUDA out of memory" in page
    url = reverse("admin:arena_upstreamrequest_change", args=[request.pk])
    assert request.detail in admin_client.get(url).content.decode()


# --- battles and votes -------------------------------------------------------------------------


@pytest.mark.parametrize("make", [factories.battle, factories.vote])
def test_what_happened_is_looked_at_and_not_changed(admin_client, make):
    row = make()
    name = row._meta.model_name
    assert admin_client.get(reverse(f"admin:arena_{name}_changelist")).status_code == 200
    page = admin_client.get(change_url(row))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()
    for url in (
        change_url(row),
        reverse(f"admin:arena_{name}_add"),
        reverse(f"admin:arena_{name}_delete", args=[row.pk]),
    ):
        assert admin_client.post(url, {"state": "void", "post": "yes"}).status_code == 403


def test_a_battle_leads_to_its_turns_and_their_answers(admin_client):
    battle = factories.battle()
    turn = battle.turns.get()
    assert change_url(turn) in admin_client.get(change_url(battle)).content.decode()
    turn.answers.filter(slot="a").update(
        reasoning="Let me see.", earlier=[{"state": "complete", "text": "<b>First</b> try"}]
    )
    page = admin_client.get(change_url(turn)).content.decode()
    assert "Because of a." in page
    assert "Let me see." in page
    assert "complete: &lt;b&gt;First&lt;/b&gt; try" in page


def act(client, action, *rows):
    return client.post(
        reverse("admin:arena_vote_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows]},
        follow=True,
    )


@pytest.mark.parametrize(
    ("action", "status", "reason", "word"),
    [
        ("exclude_votes", Vote.Status.EXCLUDED, Vote.Exclusion.ADMINISTRATOR, "excluded"),
        ("hold_votes", Vote.Status.HELD, "", "held"),
        ("restore_votes", Vote.Status.PENDING, "", "counted again"),
    ],
)
def test_votes_are_excluded_held_and_restored_with_a_trace(
    admin_client, action, status, reason, word
):
    chosen, other = factories.vote(), factories.vote()
    votes.exclude(vote_id=other.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    page = act(admin_client, action, chosen, other)
    assert f"2 votes {word}." in page.content.decode()
    for vote in Vote.objects.all():
        assert (vote.status, vote.exclusion_reason, vote.tally_due) == (status, reason, True)
    assert {entry.object_id for entry in LogEntry.objects.all()} == {
        str(chosen.pk),
        str(other.pk),
    }


def test_a_vote_on_named_models_is_not_restored_and_the_reason_is_told(admin_client):
    named = factories.battle(mode=Battle.Mode.SIDE_BY_SIDE, pair_probability=None)
    vote = votes.cast(battle_id=named.pk, voter=named.voter, choice="a", turn=1)
    page = act(admin_client, "restore_votes", vote)
    assert "1 vote left as is: Only votes of anonymous battles" in page.content.decode()
    assert Vote.objects.get().status == Vote.Status.EXCLUDED
    assert not LogEntry.objects.exists()


def test_who_may_only_look_at_votes_has_no_action_to_choose(staff):
    vote = factories.vote()
    client = staff("view_vote")
    page = client.get(reverse("admin:arena_vote_changelist")).content.decode()
    assert "exclude_votes" not in page
    act(client, "exclude_votes", vote)
    assert Vote.objects.get().status == Vote.Status.PENDING


def test_every_page_of_the_administration_opens_without_inline_script_or_style(admin_client):
    """The content security policy allows neither."""
    factories.vote()
    pages = [reverse("admin:index"), reverse("admin:app_list", args=["arena"])]
    for model in (Endpoint, Contestant, Battle, Vote):
        name = model._meta.model_name
        pages += [reverse(f"admin:arena_{name}_changelist"), change_url(model.objects.first())]
    pages += [add_url(), reverse("admin:arena_contestant_add"), probe_url(Endpoint.objects.first())]
    for url in pages:
        response = admin_client.get(url)
        assert response.status_code == 200
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        page = response.content.decode()
        assert not re.findall(r"<script(?![^>]*\bsrc=)(?![^>]*json)|<style|\son\w+=|\sstyle=", page)
