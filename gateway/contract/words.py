"""Ids, units and the immutable record: the words that all floors of the house share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

DeviceId = str
LocationId = str
LoadId = str
OrderId = str
StepId = str
TaskId = str
PersonId = str
CommandId = str
NodeId = str
Ns = int
"""Kernel time: nanoseconds since the Unix epoch, carried by inputs; only the shell reads a clock."""

Scalar = bool | int | float | str | None
LinkState = Literal["up", "uncertain", "down"]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""A whole number from outside: JSON knows no limit, the journal does."""
Priority = Int64
"""1 is the most urgent, 5 the least (five priorities are what hosts in the field use)."""


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable value."""
