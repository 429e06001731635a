"""Why something that was asked for is not done: its kind, and a text that says what would be right."""

from __future__ import annotations

from difflib import get_close_matches

from gateway.contract import RefusalCode, Struct


class Refusal(Struct, frozen=True):
    """A "no" with its reason. `code` is never empty."""

    code: RefusalCode
    text: str


def invalid(text: str) -> Refusal:
    """Wrong in itself, whatever the site is doing."""
    return Refusal("invalid", text)


def conflict(text: str) -> Refusal:
    """Does not fit what is so now."""
    return Refusal("conflict", text)


def limit(text: str) -> Refusal:
    """Too much of it at present; may be asked again later."""
    return Refusal("limit", text)


def absent(text: str) -> Refusal:
    """What it is about is not there."""
    return Refusal("unknown", text)


def unknown(kind: str, name: str, known: list[str]) -> Refusal:
    """What it is about is not there: names the value and what may have been meant."""
    close = get_close_matches(name, known, n=1)
    return absent(f"unknown {kind} {name!r}" + (f", did you mean {close[0]!r}?" if close else ""))
