"""What a query finds, as values whose types the schema (`strict`) vouches for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw


def rows(db: apsw.Connection, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
    """All of them: bound the query."""
    return db.execute(query, values).fetchall()
