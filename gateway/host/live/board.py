"""What has been shown of one map, and what of it has changed since the last diff."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from gateway.contract import Scalar, Struct

Entry = Struct | Scalar | dict[str, int]


class Board:
    """One flat map. `changes` is what a diff has for it: whole entries, changed fields only, or None for gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[str, Entry] = {}
        self.changes: dict[str, Any] = {}

    def show(self, key: str, entry: Entry) -> None:
        """`key` is so now."""
        known = self.entries.get(key)
        if known == entry and known.__class__ is entry.__class__:
            return
        self.entries[key] = entry
        if known is None or known.__class__ is not entry.__class__:
            self.changes[key] = entry
            return
        changed = _between(known, entry)
        waiting = self.changes.get(key)
        if isinstance(waiting, dict) and isinstance(changed, dict):
            self.changes[key] = {**waiting, **changed}  # looked at twice before one diff
        elif isinstance(waiting, Struct):
            self.changes[key] = entry  # new since the last diff: whole
        else:
            self.changes[key] = changed

    def gone(self, key: str) -> None:
        """`key` is no more."""
        if self.entries.pop(key, None) is not None:
            self.changes[key] = None

    def keep(self, keys: Set[str]) -> None:
        """All of `keys` have been shown; whatever else there is, is gone."""
        # All keys are entries: equal numbers are equal sets.
        if len(self.entries) != len(keys):
            for key in self.entries.keys() - keys:
                self.gone(key)

    def taken(self) -> dict[str, Any]:
        """The changes; from now on they are none."""
        changes, self.changes = self.changes, {}
        return changes


def _between(known: Entry, entry: Entry) -> Entry | dict[str, object]:
    """The fields of `entry` that are otherwise in `known`."""
    if isinstance(entry, Struct):
        fields = entry.__struct_fields__
        return {f: value for f in fields if (value := getattr(entry, f)) != getattr(known, f)}
    if isinstance(entry, dict) and isinstance(known, dict):
        return {name: value for name, value in entry.items() if known.get(name) != value}
    return entry
