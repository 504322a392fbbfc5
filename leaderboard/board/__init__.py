"""The leaderboard as one reads it: a query in, rows ready for a page, the API or a file out.

    query = BoardQuery.from_params(request.GET)  # BadParameter names the wrong one (422)
    board = read(query)                          # NoSuchCategory where there is no such board (404)
    for row in board.rows: ...

Reads published snapshots and never computes a rating; the number of queries is constant (4). What
the address carries is the whole state: `query.encoded()` is its canonical form without defaults,
and `query.but(sort="votes").encoded()` the address of the same view, sorted anew.

Models in preview and drafts have no row here, whatever is asked. Ranks are those of the
snapshot: filters hide rows and renumber nothing.
"""

from leaderboard.board.query import (
    COLUMNS,
    DEFAULT_COLUMNS,
    MAX_CHOICES,
    MAX_SEARCH,
    STATUSES,
    BadParameter,
    BoardQuery,
    Column,
)
from leaderboard.board.reading import (
    FACETS,
    ROW_FIELDS,
    Board,
    CategoryChoice,
    FacetChoice,
    NoSuchCategory,
    Row,
    SnapshotMeta,
    billions,
    current_snapshots,
    elo,
    price,
    ranks_before,
    read,
    share,
    shown_categories,
    snapshot_meta,
    snapshot_rows,
)

__all__ = [
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
    "NoSuchCategory",
    "Row",
    "SnapshotMeta",
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
