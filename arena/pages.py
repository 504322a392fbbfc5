"""What the battle page shows, as plain values: templates make no query and see no hidden name."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils.safestring import SafeString, mark_safe

from arena.battles import VOID_MESSAGES
from arena.mirror import notice_of
from arena.models import Answer, Battle, Contestant, Turn, Voter
from arena.rendering import render

EXAMPLES = (
    "Explain why the sky is blue to a ten-year-old.",
    "Write a Python function that finds the longest palindrome in a string.",
    "A train leaves at 9:40 and arrives at 13:15. How long is the journey?",
    "Give me three dinner ideas with chickpeas.",
)


@dataclass(frozen=True, slots=True)
class Card:
    """A contestant as people see it."""

    name: str
    slug: str
    organisation: str
    licence: str
    licence_url: str
    quantisation: str
    parameters: str
    description: str
    url: str
    answer_tokens: int | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerView:
    html: SafeString
    state: str
    notice: str | None
    words: int


@dataclass(frozen=True, slots=True)
class TurnView:
    number: int
    prompt: str
    a: AnswerView
    b: AnswerView


@dataclass(frozen=True, slots=True)
class BattleView:
    public_id: str
    state: str
    turns: list[TurnView]
    can_continue: bool
    can_vote: bool
    choice: str | None
    choice_label: str
    void_message: str | None
    reveal: dict[str, Card] | None


@dataclass(frozen=True, slots=True)
class SideView:
    """One column of the page."""

    slot: str
    name: str
    chip: str
    won: bool
    reveal: Card | None
    turns: list[tuple[TurnView, AnswerView]]


def card(contestant: Contestant, last: Answer | None = None) -> Card:
    tokens = last.output_tokens if last else None
    speed = None
    if last and tokens and last.duration_ms and last.first_token_ms is not None:
        writing = (last.duration_ms - last.first_token_ms) / 1000
        speed = round(tokens / writing, 1) if writing > 0 else None
    return Card(
        name=contestant.name,
        slug=contestant.slug,
        organisation=contestant.organisation,
        licence=contestant.licence,
        licence_url=contestant.licence_url,
        quantisation=contestant.quantisation,
        parameters=contestant.parameters,
        description=contestant.description,
        url=contestant.url,
        answer_tokens=tokens,
        tokens_per_second=speed,
    )


def contestants() -> list[Card]:
    """Everybody who may be drawn, without a hint of who is in a battle."""
    drawable = Contestant.objects.drawable().filter(status=Contestant.Status.ACTIVE)
    return [card(contestant) for contestant in drawable]


def reveal_cards(battle: Battle) -> dict[str, Card]:
    """Both contestants. The caller has made sure that the battle is revealed."""
    last = {
        answer.slot: answer
        for answer in Answer.objects.filter(turn__battle=battle).order_by("turn__number")
    }
    return {slot: card(battle.contestant(slot), last.get(slot)) for slot in ("a", "b")}


def find_battle(public_id: str, voter: Voter | None) -> Battle | None:
    if voter is None:
        return None
    return (
        Battle.objects.filter(public_id=public_id, voter=voter)
        .select_related("contestant_a", "contestant_b", "vote")
        .first()
    )


def battle_view(battle: Battle) -> BattleView:
    turns = list(battle.turns.prefetch_related("answers"))
    vote = getattr(battle, "vote", None)
    ready = battle.state == Battle.State.READY
    return BattleView(
        public_id=battle.public_id,
        state=battle.state,
        turns=[_turn_view(turn) for turn in turns],
        can_continue=ready and len(turns) < settings.MAX_TURNS,
        can_vote=ready,
        choice=vote.choice if vote else None,
        choice_label=vote.get_choice_display() if vote else "",
        void_message=VOID_MESSAGES[battle.void_reason] if battle.void_reason else None,
        reveal=reveal_cards(battle) if battle.state == Battle.State.REVEALED else None,
    )


PAGE_STATES = {
    Battle.State.DRAWING: "streaming",
    Battle.State.STREAMING: "streaming",
    Battle.State.READY: "ready",
    Battle.State.VOTED: "voted",
    Battle.State.REVEALED: "voted",
}


def page_state(view: BattleView | None) -> str:
    """The state of the page's script: empty, streaming, ready, voted or over."""
    return PAGE_STATES.get(Battle.State(view.state), "over") if view else "empty"


def sides(view: BattleView | None) -> list[SideView]:
    """Both columns; without a battle they are empty."""
    return [
        SideView(
            slot=slot,
            name=slot.upper(),
            chip=_chip(view, slot),
            won=view is not None and view.choice == slot,
            reveal=view.reveal[slot] if view and view.reveal else None,
            turns=[(turn, getattr(turn, slot)) for turn in view.turns] if view else [],
        )
        for slot in ("a", "b")
    ]


def _chip(view: BattleView | None, slot: str) -> str:
    """The word beside a column's name, in the script's own vocabulary (side.js)."""
    if view is None or view.void_message:
        return ""
    if view.choice == slot:
        return "your choice"
    answer: AnswerView = getattr(view.turns[-1], slot)
    return f"done · {answer.words} words" if answer.state == Answer.State.COMPLETE else "starting"


def _turn_view(turn: Turn) -> TurnView:
    answers = {answer.slot: answer for answer in turn.answers.all()}
    return TurnView(
        turn.number, turn.prompt, _answer_view(answers["a"]), _answer_view(answers["b"])
    )


def _answer_view(answer: Answer) -> AnswerView:
    return AnswerView(
        html=mark_safe(render(answer.text)),  # noqa: S308 - sanitised last by nh3
        state=answer.state,
        notice=notice_of(answer),
        words=len(answer.text.split()),
    )
