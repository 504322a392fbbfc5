"""HTTP: the battle page and the vote."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from arena import battles, pages, voters, votes
from arena.battles import Refused
from arena.models import Battle, Contestant


def _battle_page(request: HttpRequest, view: pages.BattleView | None) -> HttpResponse:
    response = render(
        request,
        "arena/battle.html",
        {
            "battle": view,
            "page_state": pages.page_state(view),
            "sides": pages.sides(view),
            "contestants": pages.contestants(),
            "max_prompt_chars": settings.MAX_PROMPT_CHARS,
            "examples": pages.EXAMPLES,
        },
    )
    voters.give_cookie(request, response)
    return response


@require_GET
@never_cache
@ensure_csrf_cookie
def new(request: HttpRequest) -> HttpResponse:
    if Contestant.objects.drawable().count() < 2:
        response = render(
            request,
            "arena/unavailable.html",
            {"registered": Contestant.objects.count(), "is_staff": request.user.is_staff},
            status=503,
        )
        response["Retry-After"] = "60"
        return response
    return _battle_page(request, None)


def _own_battle(request: HttpRequest, public_id: str) -> Battle:
    battle = pages.find_battle(public_id, voters.find(request.COOKIES))
    if battle is None:
        raise Http404("There is no such battle, or it belongs to somebody else.")
    return battle


@require_GET
@never_cache
@ensure_csrf_cookie
def battle(request: HttpRequest, public_id: str) -> HttpResponse:
    return _battle_page(request, pages.battle_view(_own_battle(request, public_id)))


@require_POST
def vote(request: HttpRequest, public_id: str) -> HttpResponse:
    """Cast a vote: JSON for the page's script, a redirect for a plain form."""
    wants_json = request.accepts("application/json") and not request.accepts("text/html")
    battle = _own_battle(request, public_id)
    assert battle.voter is not None, "whoever owns a battle is known"
    try:
        cast = votes.cast(
            battle_id=battle.pk,
            voter=battle.voter,
            choice=request.POST.get("choice", ""),
            turn=_number(request.POST.get("turn")) or 0,
            visible_ms=_number(request.POST.get("visible_ms")),
        )
        revealed = battles.reveal(battle_id=battle.pk)
    except Refused as error:
        if wants_json:
            body = {"error": {"code": error.code, "message": error.message}}
            return JsonResponse(body, status=409)
        return redirect("arena:battle", public_id=public_id)
    if not wants_json:
        return redirect("arena:battle", public_id=public_id)
    names = {
        slot: render_to_string("arena/_reveal.html", {"card": card})
        for slot, card in pages.reveal_cards(revealed).items()
    }
    return JsonResponse(
        {"choice": cast.choice, "choice_label": cast.get_choice_display(), "reveal": names}
    )


def _number(text: str | None) -> int | None:
    """A whole number a database column can hold, or None."""
    if text and text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    return None


@require_POST
def skip(request: HttpRequest, public_id: str) -> HttpResponse:
    battles.abandon(battle_id=_own_battle(request, public_id).pk)
    return redirect("arena:new")


@require_GET
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive, and the database answers. Redis is not asked: without it votes still arrive."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
