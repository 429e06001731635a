"""What a path of the YAML finds in a record."""

from __future__ import annotations

from typing import NamedTuple

from gateway.host.formats import Record
from gateway.site.channel_template import Way

SHOWN_MAX = 60


class Wrong(Exception):
    """A record does not fit its mapping. `field` is the request's, `problem` says what is there and what to do."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class Missing:
    """There is nothing at the path, which is not the same as null."""


MISSING = Missing()


class Scope(NamedTuple):
    """Where paths begin: at `here`, and at `record` with a slash."""

    record: Record
    here: object
    source: str
    number: int = 1
    previous: str = ""


def find(way: Way, scope: Scope) -> object:
    """The value at the path, or MISSING."""
    value: object = scope.record if way.from_root else scope.here
    keys = way.keys
    match keys[0]:
        case "@index":
            return scope.number
        case "@source":
            return scope.source
        case "@previous":
            return scope.previous
        case "@value":
            keys = keys[1:]
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list):
            value = value[int(key)] if key.isascii() and key.isdigit() and int(key) < len(value) else MISSING
        else:
            return MISSING
    return value


def entries(way: Way, scope: Scope, field: str) -> list[Scope]:
    """A scope for each entry of the list at the path. Null and an optional path that finds nothing are no entries."""
    value = find(way, scope)
    if value is None or (value is MISSING and way.optional):
        return []
    if value is MISSING:
        raise Wrong(field, f"the record has no {way.text}: it has {keys_of(scope)}")
    if not isinstance(value, list):
        raise Wrong(field, f"{way.text} is {shown(value)}, not a list")
    return [scope._replace(here=entry, number=number) for number, entry in enumerate(value, 1)]


def text_of(value: object, way: Way, field: str) -> str:
    """A value as a text, without blanks around it."""
    match value:
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
        case _:
            raise Wrong(field, f"{way.text} is {shown(value)}, not a text or a number: name a key below it")


def keys_of(scope: Scope) -> str:
    """What there would have been, for people."""
    if not isinstance(scope.here, dict):
        return f"{shown(scope.here)}, which has no keys (@value is the entry itself)"
    names = list(scope.here)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return ", ".join(str(name)[:SHOWN_MAX] for name in names[:20]) + more if names else "nothing"


def shown(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = "null" if value is None else repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"
