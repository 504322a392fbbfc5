"""What a judge is asked, in which rows, and what its verdicts come to: pure, no database.

A judged task asks the contestant first: `answer`, then `turn2` and so on, with all that was said
before. Each answer is followed by its judgements, `judge1` for a rating or `judge1-first` and
`judge1-second` for the two orders of a comparison (the contestant's answer shown first, or second).
A judgement without a verdict is asked for once more, as `judge1-again`.

The judged must not be able to talk to the judge: no answer can leave its place in the prompt
(`prompts`), and a verdict that the judge only repeats from an answer is none (`scorers.judge`).
Whose answers they are is never told.
"""

from .parts import (
    ANSWER,
    JUDGED,
    PREFIX,
    Judgement,
    is_judged,
    judgement,
    judgements,
    samples_of,
    turn_number,
    turn_part,
    turns_of,
)
from .prompts import (
    Conversation,
    ask_judge,
    fingerprint,
    generation,
    next_turn,
    own_answers,
    question,
    quoted,
    references,
)
from .results import summarise
from .verdicts import following, score_judgement

__all__ = [
    "ANSWER",
    "JUDGED",
    "PREFIX",
    "Conversation",
    "Judgement",
    "ask_judge",
    "fingerprint",
    "following",
    "generation",
    "is_judged",
    "judgement",
    "judgements",
    "next_turn",
    "own_answers",
    "question",
    "quoted",
    "references",
    "samples_of",
    "score_judgement",
    "summarise",
    "turn_number",
    "turn_part",
    "turns_of",
]
