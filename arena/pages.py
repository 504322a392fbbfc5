"""What the battle page shows, as plain values: templates make no query and see no hidden name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import Left
from django.utils.safestring import SafeString, mark_safe

from arena import attachments, battles, sources
from arena.battles import notice_of, void_message
from arena.chosen import choosable
from arena.models import Answer, Battle, Contestant, Share, Slot, Turn, Voter
from arena.rendering import render
from arena.sources import Source

EXAMPLES = (
    "Explain why the sky is blue to a ten-year-old.",
    "Write a Python function that finds the longest palindrome in a string.",
    "A train leaves at 9:40 and arrives at 13:15. How long is the journey?",
    "Give me three dinner ideas with chickpeas.",
)
HISTORY_PAGE = 25  # battles


@dataclass(frozen=True, slots=True)
class ModeView:
    """How the page of one mode is worded."""

    key: str
    url: str  # the name of the page that starts one
    title: str
    heading: str
    headline: str
    lead: str
    slots: Sequence[str]
    again: str  # what the button says that starts another

    @property
    def named(self) -> bool:
        """Whether the reader knows whom they ask."""
        return self.key != Battle.Mode.BATTLE


MODES: Mapping[str, ModeView] = {
    Battle.Mode.BATTLE: ModeView(
        key=Battle.Mode.BATTLE,
        url="arena:new",
        title="Battle",
        heading="Battle between two anonymous models",
        headline="Ask anything. Two models answer. You judge, then see who they were.",
        lead="Both answers come from models whose names stay hidden until you vote. Every vote "
        "counts in the leaderboard.",
        slots=("a", "b"),
        again="New battle",
    ),
    Battle.Mode.SIDE_BY_SIDE: ModeView(
        key=Battle.Mode.SIDE_BY_SIDE,
        url="arena:side_by_side",
        title="Side by side",
        heading="Two models side by side",
        headline="Choose two models and compare their answers.",
        lead="You know who answers, so your vote is kept but never counts in the leaderboard.",
        slots=("a", "b"),
        again="New comparison",
    ),
    Battle.Mode.DIRECT: ModeView(
        key=Battle.Mode.DIRECT,
        url="arena:direct",
        title="Chat",
        heading="Chat with one model",
        headline="Choose a model and talk to it.",
        lead="There is nothing to compare here, so there is no vote.",
        slots=("a",),
        again="New chat",
    ),
}


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
    price: str
    answer_tokens: int | None = None
    tokens_estimated: bool = False
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerView:
    html: SafeString
    state: str
    notice: str | None
    words: int
    stopped: bool
    # Empty when neither side names any. Before the vote only their number is shown.
    sources: Sequence[Source]
    sources_shown: bool
    has_sources_line: bool


@dataclass(frozen=True, slots=True)
class TurnView:
    number: int
    prompt: str
    images: Sequence[Mapping[str, Any]]
    answers: Mapping[str, AnswerView]


@dataclass(frozen=True, slots=True)
class BattleView:
    public_id: str
    mode: ModeView
    state: str
    turns: list[TurnView]
    names: Mapping[str, str]  # by slot, where they may be known
    can_take_turn: bool
    can_vote: bool
    can_regenerate: bool
    can_share: bool
    can_continue: bool  # with the two models whose names are known by now
    choice: str | None
    choice_label: str
    void_message: str | None
    reveal: Mapping[str, Card]
    share: str | None  # id of its public copy


@dataclass(frozen=True, slots=True)
class SideView:
    """One column of the page."""

    slot: str
    letter: str
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
        price=_price(contestant.price_input, contestant.price_output),
        answer_tokens=tokens,
        tokens_estimated=bool(last and last.tokens_estimated),
        tokens_per_second=speed,
    )


def _price(into: Decimal | None, out: Decimal | None) -> str:
    if into is None or out is None:
        return ""
    dollars = [f"${amount.normalize():f}" for amount in (into, out)]
    return f"{dollars[0]} in, {dollars[1]} out per million tokens"


def takes_images(mode: ModeView) -> bool:
    """Whether there is anybody to put a question with images to."""
    there = choosable() if mode.named else Contestant.objects.drawable()
    return attachments.who_can_see(there).count() >= (1 if mode.named else 2)


def contestants(mode: ModeView) -> list[Card]:
    """Everybody who may be met or chosen, without a hint of who is in a battle.

    Who can be had at the moment is said only where one chooses: beside a battle that has just
    failed, a list that has lost a model would tell who it was.
    """
    met = Contestant.objects.in_battles().filter(status=Contestant.Status.ACTIVE)
    return [card(contestant) for contestant in (choosable() if mode.named else met)]


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
        .select_related("contestant_a", "contestant_b", "vote", "voter")
        .first()
    )


def _turns(battle: Battle) -> list[Turn]:
    """Of the whole conversation, also what was said in the battles that this one continues."""
    return list(
        Turn.objects.filter(battle__in=battles.lineage(battle))
        .prefetch_related("answers", "attachments")
        .order_by("number")
    )


def may_know_names(battle: Battle) -> bool:
    return battle.mode != Battle.Mode.BATTLE or battle.state == Battle.State.REVEALED


def battle_view(battle: Battle) -> BattleView:
    mode = MODES[battle.mode]
    turns = _turns(battle)
    vote = getattr(battle, "vote", None)
    ready = battle.state == Battle.State.READY
    revealed = battle.state == Battle.State.REVEALED
    named = may_know_names(battle)
    share = Share.objects.filter(battle=battle, revoked_at=None).first()
    more = bool(turns) and turns[-1].number < settings.MAX_TURNS
    return BattleView(
        public_id=battle.public_id,
        mode=mode,
        state=battle.state,
        turns=[_turn_view(turn, named=named) for turn in turns],
        names={slot: battle.contestant(slot).name for slot in mode.slots} if mode.named else {},
        can_take_turn=ready and more,
        can_vote=ready and mode.key != Battle.Mode.DIRECT,
        can_regenerate=ready or (mode.named and battle.state == Battle.State.VOID),
        can_share=revealed or (mode.named and ready),
        can_continue=revealed and more,
        choice=vote.choice if vote else None,
        choice_label=vote.get_choice_display() if vote else "",
        void_message=void_message(battle.mode, battle.void_reason) if battle.void_reason else None,
        reveal=reveal_cards(battle) if revealed else {},
        share=share.public_id if share else None,
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


def sides(view: BattleView | None, mode: ModeView) -> list[SideView]:
    """The columns; without a battle they are empty."""
    return [
        SideView(
            slot=slot,
            letter=slot.upper(),
            name=view.names.get(slot, "") if view else "",
            chip=_chip(view, slot),
            won=view is not None and view.choice == slot,
            reveal=view.reveal.get(slot) if view else None,
            turns=[(turn, turn.answers[slot]) for turn in view.turns if slot in turn.answers]
            if view
            else [],
        )
        for slot in mode.slots
    ]


def _chip(view: BattleView | None, slot: str) -> str:
    """The word beside a column's name, in the script's own vocabulary (side.js)."""
    if view is None or not view.turns:
        return ""
    if view.choice == slot:
        return "your choice"
    answer = view.turns[-1].answers.get(slot)
    if answer is None:
        return ""
    if answer.state == Answer.State.COMPLETE:
        return "" if view.void_message and not view.mode.named else _done(answer.words)
    return "" if view.void_message else "starting"


def _done(words: int) -> str:
    return f"done · {words} word{'' if words == 1 else 's'}"


def _turn_view(turn: Turn, *, named: bool) -> TurnView:
    answers = list(turn.answers.all())
    found = {answer.slot: sources.of_answer(answer) for answer in answers}
    return TurnView(
        turn.number,
        turn.prompt,
        attachments.on_page(turn.attachments.all()),
        {
            answer.slot: AnswerView(
                html=mark_safe(render(answer.text)),  # noqa: S308 - sanitised last by nh3
                state=answer.state,
                notice=notice_of(answer),
                words=len(answer.text.split()),
                stopped=answer.stopped,
                sources=found[answer.slot],
                sources_shown=named,
                has_sources_line=any(found.values()),
            )
            for answer in answers
        },
    )


def source_lists(battle: Battle) -> dict[str, dict[int, Sequence[Source]]]:
    """By slot and turn, of the turns in which a side names any. Only for a revealed battle."""
    lists: dict[str, dict[int, Sequence[Source]]] = {slot: {} for slot in Slot.values}
    for turn in _turns(battle):
        of_turn = sources.of_turn(turn.answers.all(), named=True)
        for slot, found in (of_turn or {}).items():
            lists[slot][turn.number] = found
    return lists


def raw_answer(battle: Battle, number: int, slot: str) -> str | None:
    """An answer as the model wrote it."""
    return (
        Answer.objects.filter(
            turn__battle__in=battles.lineage(battle), turn__number=number, slot=slot
        )
        .values_list("text", flat=True)
        .first()
    )


# --- history ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HistoryRow:
    public_id: str
    mode: str
    prompt: str
    created_at: datetime
    outcome: str
    names: str  # empty where they may not be known
    share: str | None


_OUTCOMES = {
    Battle.State.DRAWING: "Answering",
    Battle.State.STREAMING: "Answering",
    Battle.State.READY: "Open",
    Battle.State.VOID: "Does not count",
    Battle.State.EXPIRED: "Expired",
    Battle.State.ABANDONED: "Skipped",
}


def history(voter: Voter | None, number: int) -> Page[Battle]:
    """A page of a voter's own conversations, the newest first."""
    first = Turn.objects.filter(battle=OuterRef("pk")).order_by("number")
    copies = Share.objects.filter(battle=OuterRef("pk"), revoked_at=None)
    own = (
        Battle.objects.filter(voter=voter, source=None)
        .select_related("contestant_a", "contestant_b", "vote")
        .annotate(
            asked=Subquery(first.annotate(start=Left("prompt", 160)).values("start")[:1]),
            shared=Subquery(copies.values("public_id")[:1]),
        )
        .filter(Exists(first))
    )
    return Paginator(own if voter else Battle.objects.none(), HISTORY_PAGE).get_page(number)


def history_rows(page: Page[Battle]) -> list[HistoryRow]:
    return [_history_row(battle) for battle in page]


def _history_row(battle: Battle) -> HistoryRow:
    vote = getattr(battle, "vote", None)
    pair = [each.name for each in (battle.contestant_a, battle.contestant_b) if each]
    return HistoryRow(
        public_id=battle.public_id,
        mode=MODES[battle.mode].title,
        prompt=battle.asked or "",  # type: ignore[attr-defined]
        created_at=battle.created_at,
        outcome=vote.get_choice_display() if vote else _OUTCOMES[Battle.State(battle.state)],
        names=" · ".join(pair) if may_know_names(battle) else "",
        share=battle.shared,  # type: ignore[attr-defined]
    )
