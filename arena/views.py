"""HTTP: the pages of the three modes, the vote, history, public copies, the terms."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from arena import battles, chosen, pages, shares, voters, votes
from arena.models import Battle, Contestant, Share
from arena.refusals import Refused
from arena.rendering import render as render_markdown


def _conversation_page(
    request: HttpRequest, mode: pages.ModeView, view: pages.BattleView | None
) -> HttpResponse:
    response = render(
        request,
        "arena/battle.html",
        {
            "battle": view,
            "mode": mode,
            "page_state": pages.page_state(view),
            "sides": pages.sides(view, mode),
            "contestants": pages.contestants(mode),
            "takes_images": pages.takes_images(mode),
            "max_prompt_chars": settings.MAX_PROMPT_CHARS,
            "max_answer_tokens": settings.MAX_ANSWER_TOKENS,
            "max_comment": votes.MAX_COMMENT,
            "terms_version": settings.TERMS_VERSION,
            "tags": votes.TAGS,
            "examples": pages.EXAMPLES,
        },
    )
    voters.give_cookie(request, response)
    return response


def _start_page(request: HttpRequest, key: str) -> HttpResponse:
    mode = pages.MODES[key]
    there = chosen.choosable() if mode.named else Contestant.objects.drawable()
    if there.count() < len(mode.slots):
        response = render(
            request,
            "arena/unavailable.html",
            {
                "mode": mode,
                "needed": len(mode.slots),
                "registered": Contestant.objects.count(),
                "is_staff": request.user.is_staff,
            },
            status=503,
        )
        response["Retry-After"] = "60"
        return response
    return _conversation_page(request, mode, None)


@require_GET
@never_cache
@ensure_csrf_cookie
def new(request: HttpRequest) -> HttpResponse:
    return _start_page(request, Battle.Mode.BATTLE)


@require_GET
@never_cache
@ensure_csrf_cookie
def side_by_side(request: HttpRequest) -> HttpResponse:
    return _start_page(request, Battle.Mode.SIDE_BY_SIDE)


@require_GET
@never_cache
@ensure_csrf_cookie
def direct(request: HttpRequest) -> HttpResponse:
    return _start_page(request, Battle.Mode.DIRECT)


def _own_battle(request: HttpRequest, public_id: str) -> Battle:
    battle = pages.find_battle(public_id, voters.find(request.COOKIES))
    if battle is None:
        raise Http404("There is no such battle, or it belongs to somebody else.")
    return battle


@require_GET
@never_cache
@ensure_csrf_cookie
def battle(request: HttpRequest, public_id: str) -> HttpResponse:
    view = pages.battle_view(_own_battle(request, public_id))
    return _conversation_page(request, view.mode, view)


@require_GET
@never_cache
def raw(request: HttpRequest, public_id: str, number: int, slot: str) -> HttpResponse:
    """An answer as the model wrote it, to be read or copied."""
    text = pages.raw_answer(_own_battle(request, public_id), number, slot)
    if text is None:
        raise Http404("There is no such answer.")
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


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
            tags=request.POST.getlist("tags"),
            comment=request.POST.get("comment", ""),
        )
        revealed = battles.reveal(battle_id=battle.pk)
    except Refused as error:
        if wants_json:
            body = {
                "code": error.code,
                "message": error.message,
                "retry_after": error.retry_after,
            }
            if error.retry_after is None:
                return JsonResponse({"error": body}, status=409)
            later = {"Retry-After": str(error.retry_after)}
            return JsonResponse({"error": body}, status=429, headers=later)
        return redirect("arena:battle", public_id=public_id)
    if not wants_json:
        return redirect("arena:battle", public_id=public_id)
    names = {
        slot: render_to_string("arena/_reveal.html", {"card": card})
        for slot, card in pages.reveal_cards(revealed).items()
    }
    found = {
        slot: {
            number: render_to_string(
                "arena/_sources.html", {"sources": each, "shown": True, "number": number}
            )
            for number, each in turns.items()
        }
        for slot, turns in pages.source_lists(revealed).items()
    }
    return JsonResponse(
        {
            "choice": cast.choice,
            "choice_label": cast.get_choice_display(),
            "reveal": names,
            "sources": found,
        }
    )


def _number(text: str | None) -> int | None:
    """A whole number a database column can hold, or None."""
    if text and text.isascii() and text.isdigit() and len(text) <= 9:
        return int(text)
    return None


@require_POST
def skip(request: HttpRequest, public_id: str) -> HttpResponse:
    battle = _own_battle(request, public_id)
    battles.abandon(battle_id=battle.pk)
    return redirect(pages.MODES[battle.mode].url)


@require_POST
def share(request: HttpRequest, public_id: str) -> HttpResponse:
    """Make a copy public. Refused before the vote, when no page offers it."""
    battle = _own_battle(request, public_id)
    try:
        shares.share(battle_id=battle.pk)
    except Refused as error:
        return HttpResponse(error.message, status=409, content_type="text/plain; charset=utf-8")
    return redirect("arena:battle", public_id=public_id)


@require_POST
def revoke_share(request: HttpRequest, public_id: str) -> HttpResponse:
    shares.revoke(battle_id=_own_battle(request, public_id).pk)
    if request.POST.get("back") == "history":
        return redirect("arena:history")
    return redirect("arena:battle", public_id=public_id)


@require_GET
@never_cache
def shared(request: HttpRequest, share_id: str) -> HttpResponse:
    """A public copy. For everybody with its address, but for no index."""
    copy = get_object_or_404(Share, public_id=share_id, revoked_at=None)
    response = render(
        request,
        "arena/shared.html",
        {
            "content": copy.content,
            "mode": pages.MODES[copy.content["mode"]],
            "made_at": copy.created_at,
        },
    )
    response["X-Robots-Tag"] = "noindex, nofollow"
    return response


@require_GET
@never_cache
def history(request: HttpRequest) -> HttpResponse:
    page = pages.history(voters.find(request.COOKIES), _number(request.GET.get("page")) or 1)
    return render(request, "arena/history.html", {"page": page, "rows": pages.history_rows(page)})


@require_GET
def terms(request: HttpRequest) -> HttpResponse:
    text = settings.TERMS_FILE.read_text(encoding="utf-8")
    return render(
        request,
        "arena/terms.html",
        {
            "html": mark_safe(render_markdown(text)),  # noqa: S308 - sanitised last by nh3
            "version": settings.TERMS_VERSION,
        },
    )


@require_GET
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """Alive, and the database answers. Redis is not asked: without it votes still arrive."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok\n", content_type="text/plain")
