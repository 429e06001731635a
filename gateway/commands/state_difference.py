"""What has changed between two states of a kernel, slice by slice: what came, what went, what is otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.dispatch.state import State
from gateway.shell.journal.moments import iso

DERIVED = frozenset(
    {"standing", "by_track", "by_barcode", "queue", "released", "ended", "traffic_seen", "seq", "now_ns"}
)
"""Parts of the state that only say again what others say, and the moment itself."""
BOOKKEEPING = frozenset({"entry_empty_ns", "next_seq", "passes", "order_number", "track_number", "drive_number"})
"""Parts that say nothing to a person; JSON has them."""
IN_A_LINE_MAX = 2
"""More changed fields than that stand below one another."""
TEXT_MAX = 160
_TIMES_FROM_NS = 10**17
"""Larger numbers in fields of nanoseconds are times, smaller ones are none yet."""
Change = dict[str, Any]


def difference(before: State, after: State) -> dict[str, Change]:
    """Slice → added, removed (each key → value) and changed (key → field → [before, after]); plain data for JSON."""
    old, new = _plain(before), _plain(after)
    found = {}
    for name in new:
        if name in DERIVED or old[name] == new[name]:
            continue
        found[name] = _slice(old[name], new[name])
    return found


def _plain(state: State) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(msgspec.json.encode(state))
    plain["site"] = {"in force": json.loads(state.site) if state.site else {}}
    for answer in plain["answers"].values():
        del answer["digest"]
    plain["answers"] = {" ".join(key.split("\n")): answer for key, answer in plain["answers"].items()}
    return plain


def _slice(old: Any, new: Any) -> Change:
    if not isinstance(new, dict):
        return {"added": {}, "removed": {}, "changed": {"": {"": [old, new]}}}
    return {
        "added": {key: value for key, value in new.items() if key not in old},
        "removed": {key: value for key, value in old.items() if key not in new},
        "changed": {
            key: dict(_fields("", old[key], value)) for key, value in new.items() if key in old and old[key] != value
        },
    }


def _fields(path: str, old: Any, new: Any) -> Iterator[tuple[str, list[Any]]]:
    """Path of a field → what it was and what it is; as deep as the two are alike. Places in lists count from 1, as
    zones and lanes do."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                yield from _fields(f"{path}.{key}" if path else str(key), old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (was, now) in enumerate(zip(old, new, strict=True), 1):
            if was != now:
                yield from _fields(f"{path}.{place}", was, now)
    else:
        yield path, [old, new]


def as_text(changes: Mapping[str, Change]) -> str:
    return "\n".join(_lines(changes)) or "nothing has changed"


def _lines(changes: Mapping[str, Change]) -> Iterator[str]:
    for name, change in changes.items():
        if name in BOOKKEEPING:
            continue
        yield name
        for sign, part in (("+", change["added"]), ("-", change["removed"])):
            yield from (f"  {sign} {key}  {_value(value)}" for key, value in part.items())
        for key, fields in change["changed"].items():
            said = [_changed(path, was, now) for path, (was, now) in fields.items()]
            if len(said) <= IN_A_LINE_MAX:
                yield f"  ~ {key}  {'; '.join(said)}" if key else f"  ~ {'; '.join(said)}"
            else:
                yield f"  ~ {key}"
                yield from (f"      {line}" for line in said)


def _changed(path: str, was: Any, now: Any) -> str:
    return f"{path}{': ' if path else ''}{_value(was, path)} → {_value(now, path)}"


def _value(value: Any, path: str = "") -> str:
    if path.endswith("_ns") and isinstance(value, int) and value > _TIMES_FROM_NS:
        return iso(value)
    if isinstance(value, dict):
        text = ", ".join(f"{key} {_value(item, key)}" for key, item in value.items() if item or item is False)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"
