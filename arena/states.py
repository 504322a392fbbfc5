"""What may become of a battle, a turn and an answer: every transition there is, and no other.

    battle  drawing → streaming ⇄ ready → voted → revealed
            streaming → void; streaming, ready → abandoned; ready → expired
    answer  queued → starting → streaming → complete
            starting → retrying → swapped → …; all but complete → failed

A turn that is answered again (`may_answer_again`) goes through both of its machines anew.

Pure. The verbs in `battles` and `votes` and the streams in `generation` ask here before they
change a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Forbidden(Exception):
    """A transition that does not exist: a mistake in our own code, never a reader's."""


class Machine:
    """States by name, and what may follow each."""

    def __init__(self, name: str, moves: Mapping[str, Iterable[str]]) -> None:
        self.name = name
        self.moves = {old: frozenset(follow) for old, follow in moves.items()}
        if unknown := frozenset().union(*self.moves.values()) - self.moves.keys():
            raise ValueError(f"{name}: {sorted(unknown)} follow and are no states")

    @property
    def final(self) -> frozenset[str]:
        return frozenset(state for state, follow in self.moves.items() if not follow)

    def before(self, new: str) -> frozenset[str]:
        """The states from which `new` may be entered."""
        return frozenset(old for old, follow in self.moves.items() if new in follow)

    def leads(self, old: str, new: str) -> bool:
        """Whether `new` can be reached from `old`, by any number of steps or none."""
        seen, ahead = {old}, [old]
        while ahead:
            for state in self.moves[ahead.pop()] - seen:
                seen.add(state)
                ahead.append(state)
        return new in seen

    def check(self, old: str, new: str) -> str:
        """`new`, when it may follow `old`. Raises Forbidden."""
        if new not in self.moves[old]:
            raise Forbidden(f"{self.name}: {old} → {new}")
        return new


BATTLE = Machine(
    "battle",
    {
        "drawing": ["streaming"],
        "streaming": ["ready", "void", "abandoned"],
        "ready": ["streaming", "voted", "abandoned", "expired"],
        "voted": ["revealed"],
        "revealed": [],
        "void": [],
        "expired": [],
        "abandoned": [],
    },
)
TURN = Machine("turn", {"running": ["done", "void"], "done": [], "void": []})
ANSWER = Machine(
    "answer",
    {
        "queued": ["starting", "failed"],
        "starting": ["streaming", "retrying", "swapped", "failed"],
        # Trying again, the same model or another, is not told apart from the first try.
        "retrying": ["streaming", "swapped", "failed"],
        "swapped": ["streaming", "retrying", "swapped", "failed"],
        "streaming": ["complete", "failed"],
        "complete": [],
        "failed": [],
    },
)


def may_answer_again(battle: str, *, names_shown: bool) -> bool:
    """Whether the last turn of a battle in this state may be answered again.

    A void battle stays void where the models are anonymous. Where they were chosen by name there
    is nothing to give away, and nothing is rated.
    """
    return battle == "ready" or (names_shown and battle == "void")
