"""JSON as the API takes it: one document in UTF-8, not too deep, no name twice, no NaN, no half characters."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gateway.host.api.problem import Refusal

DEPTH_MAX = 32


class _Twice(ValueError):
    pass


def read(data: bytes) -> Any:
    """Raises Refusal `malformed` with what is wrong and where."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal("malformed", f"byte {error.start} is not UTF-8") from None
    try:
        found = _decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Refusal("malformed", f"{where}: {error.msg[:200]}") from None
    except RecursionError:
        raise Refusal("malformed", f"nested deeper than {DEPTH_MAX} levels") from None
    except ValueError as error:  # a name twice, NaN, or a number with thousands of digits
        raise Refusal("malformed", str(error)[:300]) from None
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _depth_over(found, DEPTH_MAX):
        raise Refusal("malformed", f"nested deeper than {DEPTH_MAX} levels")
    if b"\\u" in data:
        _check_characters(data)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Twice(f"the name {twice[:80]!r} stands twice in one object: which one counts would be a guess")
    return found


def _no_constant(name: str) -> Any:
    raise _Twice(f"{name} is no JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)


def _depth_over(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_depth_over(each, levels - 1) for each in inner)


def _check_characters(data: bytes) -> None:
    """Half of a surrogate pair is no character and can't be stored or told again."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("malformed", f"an escaped character is none: {str(error)[:200]}") from None
