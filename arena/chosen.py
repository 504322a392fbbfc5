"""Conversations with models that the reader chose: side by side, direct, and on after a vote.

Their names are shown from the start, so a vote on them is kept and never rated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.conf import settings
from django.db import transaction

from arena.battles import StartedTurn, add_turn, check_prompt
from arena.models import ArenaSettings, Battle, Contestant, ContestantQuerySet, Voter
from arena.refusals import Refused

HOW_MANY = {Battle.Mode.SIDE_BY_SIDE: 2, Battle.Mode.DIRECT: 1}
TEMPERATURES, TOP_PS = (0.0, 2.0), (0.01, 1.0)


def choosable() -> ContestantQuerySet:
    """Models that may be asked by name: public ones that can be had now."""
    return Contestant.objects.drawable().filter(status=Contestant.Status.ACTIVE)


def check_parameters(parameters: Mapping[str, float]) -> dict[str, float]:
    """What the models are asked with. Raises Refused."""
    limits = {
        "temperature": TEMPERATURES,
        "top_p": TOP_PS,
        "max_tokens": (1, settings.MAX_ANSWER_TOKENS),
    }
    for name, value in parameters.items():
        least, most = limits[name]
        if not least <= value <= most:  # false for NaN as well
            title = name.replace("_", " ").replace("top p", "top-p")
            raise Refused("bad_parameter", f"The {title} must be between {least:g} and {most:g}.")
    return {"max_tokens": settings.MAX_ANSWER_TOKENS, **parameters}


def _check_models(mode: str, slugs: Sequence[str]) -> list[Contestant]:
    wanted = HOW_MANY[Battle.Mode(mode)]
    if len(slugs) != wanted:
        raise Refused("bad_models", f"Choose {'two models' if wanted == 2 else 'a model'}.")
    if len(set(slugs)) != wanted:
        raise Refused("bad_models", "Choose two different models.")
    found = {model.slug: model for model in choosable().filter(slug__in=slugs)}
    if len(found) != wanted:
        raise Refused(
            "model_unavailable",
            "One of these models cannot be asked now. Please choose another."
            if wanted == 2
            else "This model cannot be asked now. Please choose another.",
        )
    return [found[slug] for slug in slugs]


@transaction.atomic
def open_chosen(
    *,
    voter: Voter,
    prompt: str,
    mode: str,
    models: Sequence[str],
    parameters: Mapping[str, float],
    network: str = "",
    images: Sequence[str] = (),
) -> StartedTurn:
    """A new conversation with the models of these slugs, the first of them on the left."""
    prompt = check_prompt(prompt)
    asked_with = check_parameters(parameters)
    contestants = _check_models(mode, models)
    battle = Battle(
        voter=voter,
        mode=mode,
        contestant_a=contestants[0],
        contestant_b=contestants[1] if len(contestants) > 1 else None,
        parameters={**asked_with, "settings": ArenaSettings.current().version},
        consent_version=voter.consent_version,
    )
    return add_turn(battle, 1, prompt, network, images)


@transaction.atomic
def continue_battle(
    *, battle_id: int, voter: Voter, prompt: str, network: str = "", images: Sequence[str] = ()
) -> StartedTurn:
    """Go on with the two models whose names a vote has revealed; they know what was said."""
    prompt = check_prompt(prompt)
    # The lock keeps two windows from going on with one battle at the same moment and number.
    before = Battle.objects.select_for_update().get(pk=battle_id)
    if before.state != Battle.State.REVEALED:
        raise Refused("wrong_state", "You can continue with these two after your vote.")
    pair = [before.contestant_a_id, before.contestant_b_id]
    if choosable().filter(pk__in=pair).count() != 2:
        raise Refused(
            "model_unavailable", "One of these models cannot be asked now. Start a new battle."
        )
    number = before.turns.latest("number").number + 1
    if number > settings.MAX_TURNS:
        raise Refused(
            "turn_limit",
            f"A conversation has at most {settings.MAX_TURNS} turns. Start a new battle.",
        )
    battle = Battle(
        voter=voter,
        mode=Battle.Mode.SIDE_BY_SIDE,
        contestant_a_id=before.contestant_a_id,
        contestant_b_id=before.contestant_b_id,
        parameters=before.parameters,
        consent_version=voter.consent_version,
        continues=before,
    )
    return add_turn(battle, number, prompt, network, images)
