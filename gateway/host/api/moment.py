"""Times as the API writes them: RFC 3339, in UTC on the way out, to the microsecond."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LENGTH_MAX = 40
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def text_of(at_ns: int | None) -> str | None:
    """None for no time and for 0, which stands for never."""
    if not at_ns:
        return None
    try:
        return (_EPOCH + timedelta(microseconds=at_ns // 1000)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return None


def _checked(text: str) -> str:
    ns_of(text)
    return text


def ns_of(text: str) -> int:
    """Nanoseconds since 1970. Raises ValueError for what is no time with an offset between 1970 and 2262."""
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        found = datetime.fromisoformat(text.upper())
        micros = (found - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise ValueError("no time such as 2026-11-25T14:00:00Z or 2026-11-25T15:00:00+01:00") from None
    if not 0 < micros * 1000 < 2**63:
        raise ValueError("a time between 1970 and 2262 is wanted")
    return micros * 1000


When = Annotated[str, Field(max_length=LENGTH_MAX, json_schema_extra={"format": "date-time"}), AfterValidator(_checked)]
"""A time in a body or a query."""
