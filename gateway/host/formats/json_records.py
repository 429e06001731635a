"""Records from JSON (RFC 8259): one object, a list of objects, or a list somewhere inside an object.

Stricter than the standard where leniency loses data: a key that comes twice, NaN and Infinity, numbers out of range,
text that is no Unicode and NUL are refused.
"""

from __future__ import annotations

import json
import math

from gateway.host.formats.record import Limits, Record, Unreadable, check_size, text_of

INT_DIGITS_MAX = 40
"""What is longer is not even turned into a number; what is shorter is compared with 64 bits."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
WRONG_ENCODINGS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def read(data: bytes, limits: Limits, path: str = "") -> list[Record]:
    """The object, or the objects of the list. `path` leads to a list inside the object: "data.orders"."""
    found = document(data, limits)
    here = "document"
    for key in path.split(".") if path else []:
        if not isinstance(found, dict) or key not in found:
            raise Unreadable(here, f"has no {key!r}", f"send an object that has {path}, or change the channel's path")
        found = found[key]
        here = f"{here}.{key}"
    if isinstance(found, dict) and not path:
        return [found]
    if not isinstance(found, list):
        raise Unreadable(here, f"a {_kind(found)}, not a list", "send a list of objects there")
    if len(found) > limits.records_max:
        raise Unreadable(here, f"{len(found)} records, at most {limits.records_max}", "split the message")
    for number, record in enumerate(found):
        if not isinstance(record, dict):
            raise Unreadable(f"{here}[{number}]", f"a {_kind(record)}, not an object", "send objects only")
    return found


def document(data: bytes, limits: Limits) -> object:
    """The whole JSON document as plain values, checked. Raises Unreadable."""
    check_size(data, limits)
    for mark, name in WRONG_ENCODINGS:
        if data.startswith(mark):
            raise Unreadable("byte 0", f"written in {name}", "write it in UTF-8")
    text = text_of(data, "utf-8").removeprefix("\ufeff")
    try:
        found = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(at, f"no JSON ({error.msg})", "send it again, whole") from None
    except RecursionError:
        raise Unreadable("document", f"deeper than {limits.depth_max} levels", "send flatter objects") from None
    _check(found, limits)
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Unreadable(f"key {twice[:100]!r}", "comes twice in one object", "name every key once")
    return found


def _whole(digits: str) -> int:
    if len(digits) > INT_DIGITS_MAX:
        raise Unreadable(f"number {digits[:20]}…", f"{len(digits)} digits", "send numbers of at most 64 bits")
    return int(digits)


def _check(document: object, limits: Limits) -> None:
    """Walks without recursion: whatever the depth, the stack stays small."""
    waiting: list[tuple[object, tuple[object, ...]]] = [(document, ())]
    while waiting:
        value, path = waiting.pop()
        if isinstance(value, str):
            _check_text(value, path, limits)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise Unreadable(_place(path), "no finite number (NaN, Infinity or too large)", "send a number or null")
        elif isinstance(value, dict | list):
            if len(path) >= limits.depth_max:
                raise Unreadable(_place(path), f"deeper than {limits.depth_max} levels", "send flatter objects")
            if isinstance(value, dict):
                if len(value) > limits.fields_max:
                    raise Unreadable(_place(path), f"{len(value)} keys, at most {limits.fields_max}", "send fewer")
                for key in value:
                    _check_text(key, path, limits)
                waiting.extend((inner, (*path, key)) for key, inner in value.items())
            else:
                waiting.extend((inner, (*path, number)) for number, inner in enumerate(value))
        elif isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
            raise Unreadable(_place(path), f"{value} has more than 64 bits", "send it as text")


def _check_text(text: str, path: tuple[object, ...], limits: Limits) -> None:
    if len(text) > limits.text_length_max:
        problem = f"text of {len(text)} characters, at most {limits.text_length_max}"
        raise Unreadable(_place(path), problem, "send shorter text")
    if "\x00" in text:
        raise Unreadable(_place(path), "holds a NUL character", "send text without it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            problem = f"half a surrogate pair at character {error.start}"
            raise Unreadable(_place(path), problem, "send whole characters") from None


def _place(path: tuple[object, ...]) -> str:
    """Long keys are cut: a place is for people."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{str(step)[:100]}" for step in path)
    return "document" + "".join(steps)


def _kind(value: object) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
