"""Texts with places in them, `"{order_no}-{lines.0.sku}"`, and the paths that stand in those places. Pure, no code.

A path names keys and list positions with dots between: `buyer.address.city`, `lines.0.sku`. A key with a dot, a quote
or a brace in it stands in single quotes: `'Order No.'`. Within a `for_each` a path begins at the entry; with a slash
before it (`/order_no`) it begins at the record again. A question mark behind it (`{note?}`) makes a place empty where
there is nothing; without it that is an error. `{{` and `}}` are the braces themselves.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

SPECIAL = ("@index", "@value", "@source", "@previous")
"""The how-manieth entry it is (1, 2 …), the entry itself, what the message is called, the step before."""
LENGTH_MAX = 500
DEPTH_MAX = 16


class Way(NamedTuple):
    """A path. `keys` is empty for the record itself, or for the entry within a `for_each`."""

    keys: tuple[str, ...]
    from_root: bool
    optional: bool
    text: str


def parse_path(text: str) -> Way:
    """Raises ValueError with what is wrong."""
    rest = text.strip()
    optional = rest.endswith("?")
    rest = rest[:-1] if optional else rest
    from_root = rest.startswith("/")
    rest = rest[1:] if from_root else rest
    keys: list[str] = []
    while True:
        key, rest = _key(rest, text)
        keys.append(key)
        if not rest:
            break
        rest = rest[1:]
    if len(keys) > DEPTH_MAX:
        raise ValueError(f"the path {text!r} has {len(keys)} keys, at most {DEPTH_MAX}")
    if keys[0].startswith("@") and keys[0] in SPECIAL and len(keys) > 1 and keys[0] != "@value":
        raise ValueError(f"{keys[0]} has nothing below it: remove what follows in {text!r}")
    return Way(tuple(keys), from_root, optional, text.strip())


def _key(rest: str, text: str) -> tuple[str, str]:
    """The first key of `rest` and what follows it, which is empty or begins with a dot."""
    if rest.startswith("'"):
        key, quote, after = rest[1:].partition("'")
        if not quote:
            raise ValueError(f"the path {text!r} opens a quote and does not close it")
    else:
        key, dot, after = rest.partition(".")
        after = dot + after
        if "'" in key:
            raise ValueError(f"the path {text!r} has a quote within a key: put the whole key in quotes")
    if not key.strip():
        raise ValueError(f"the path {text!r} has an empty key: write keys with one dot between them")
    if after and (not after.startswith(".") or after == "."):
        raise ValueError(f"the path {text!r} does not go on with a dot and a key after {key!r}")
    return key, after


def parse_template(text: str) -> tuple[str | Way, ...]:
    """Texts and paths in turn. Raises ValueError with what is wrong and where."""
    if len(text) > LENGTH_MAX:
        raise ValueError(f"a template of {len(text)} characters, at most {LENGTH_MAX}")
    parts: list[str | Way] = []
    literal = ""
    at = 0
    while at < len(text):
        here = text[at]
        if here in "{}" and text[at : at + 2] == here * 2:
            literal += here
            at += 2
        elif here == "{":
            end = text.find("}", at)
            if end < 0:
                raise ValueError(f"the brace at character {at + 1} of {text!r} is not closed: write {{{{ for a brace")
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(parse_path(text[at + 1 : end]))
            at = end + 1
        elif here == "}":
            raise ValueError(f"the brace at character {at + 1} of {text!r} closes nothing: write }}}} for a brace")
        else:
            literal += here
            at += 1
    if literal:
        parts.append(literal)
    return tuple(parts)


def _sound_template(text: str) -> str:
    parse_template(text)
    return text


def _sound_path(text: str) -> str:
    parse_path(text)
    return text


Template = Annotated[str, AfterValidator(_sound_template)]
FieldPath = Annotated[str, Field(min_length=1, max_length=LENGTH_MAX), AfterValidator(_sound_path)]
