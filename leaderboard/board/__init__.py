"""The leaderboard as one reads it: a query in, rows ready for a page, the API or a file out.

    query = BoardQuery.from_params(request.GET)  # BadParameter names the wrong one (422)
    board = read(query)                          # NoSuchCategory, NoSuchBenchmark (404)
    for row in board.rows: ...

Reads published snapshots and benchmark results and never computes a rating; the number of queries
is constant (7 at most). What the address carries is the whole state: `query.encoded()` is its
canonical form without defaults, and `query.but(sort="votes").encoded()` the address of the same
view, sorted anew.

Models in preview and drafts have no row here, whatever is asked. Ranks are those of the
snapshot: filters hide rows and renumber nothing.
"""

from leaderboard.board.choosing import FACETS, FacetChoice
from leaderboard.board.lines import ROW_FIELDS, Row, billions, elo, price, share
from leaderboard.board.query import (
    BENCHMARK,
    COLUMNS,
    DEFAULT_COLUMNS,
    MAX_CHOICES,
    MAX_SEARCH,
    STATUSES,
    BadParameter,
    BoardQuery,
    Column,
    benchmark_of,
)
from leaderboard.board.reading import (
    Board,
    CategoryChoice,
    NoSuchBenchmark,
    NoSuchCategory,
    SnapshotMeta,
    current_snapshots,
    ranks_before,
    read,
    shown_categories,
    snapshot_meta,
    snapshot_rows,
)

__all__ = [
    "BENCHMARK",
    "COLUMNS",
    "DEFAULT_COLUMNS",
    "FACETS",
    "MAX_CHOICES",
    "MAX_SEARCH",
    "ROW_FIELDS",
    "STATUSES",
    "BadParameter",
    "Board",
    "BoardQuery",
    "CategoryChoice",
    "Column",
    "FacetChoice",
    "NoSuchBenchmark",
    "NoSuchCategory",
    "Row",
    "SnapshotMeta",
    "benchmark_of",
    "billions",
    "current_snapshots",
    "elo",
    "price",
    "ranks_before",
    "read",
    "share",
    "shown_categories",
    "snapshot_meta",
    "snapshot_rows",
]
