"""Who meets whom, what they said, who won.

The database refuses what the code should never do: constraints here are the last line, the verb
modules (`battles`, `votes`, `registration`) the first.
"""

from arena.models.attachments import Attachment
from arena.models.battles import (
    Answer,
    AnswerState,
    Battle,
    BattleMode,
    BattleState,
    Slot,
    Source,
    Turn,
    TurnState,
    VoidReason,
    Voter,
    new_public_id,
)
from arena.models.constraints import above_zero_or_empty, not_below_zero, one_of
from arena.models.contestants import (
    HIDDEN_STATUSES,
    Contestant,
    ContestantQuerySet,
    ContestantStatus,
)
from arena.models.endpoints import (
    Breaker,
    BreakerQuerySet,
    BreakerState,
    Endpoint,
    RequestPurpose,
    UpstreamRequest,
)
from arena.models.moderation import ModerationCategory, ModerationEvent, ModerationSettings
from arena.models.sampling import ArenaSettings, Pacing, PairNeeds, SamplerChoice, default_pacing
from arena.models.shares import Share
from arena.models.spending import MILLIONTHS, NetworkSalt, Reservation, Spending
from arena.models.votes import ExclusionReason, Vote, VoteChoice, VoteQuerySet, VoteStatus

__all__ = [
    "HIDDEN_STATUSES",
    "MILLIONTHS",
    "Answer",
    "AnswerState",
    "ArenaSettings",
    "Attachment",
    "Battle",
    "BattleMode",
    "BattleState",
    "Breaker",
    "BreakerQuerySet",
    "BreakerState",
    "Contestant",
    "ContestantQuerySet",
    "ContestantStatus",
    "Endpoint",
    "ExclusionReason",
    "ModerationCategory",
    "ModerationEvent",
    "ModerationSettings",
    "NetworkSalt",
    "Pacing",
    "PairNeeds",
    "RequestPurpose",
    "Reservation",
    "SamplerChoice",
    "Share",
    "Slot",
    "Source",
    "Spending",
    "Turn",
    "TurnState",
    "UpstreamRequest",
    "VoidReason",
    "Vote",
    "VoteChoice",
    "VoteQuerySet",
    "VoteStatus",
    "Voter",
    "above_zero_or_empty",
    "default_pacing",
    "new_public_id",
    "not_below_zero",
    "one_of",
]
