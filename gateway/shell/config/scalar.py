"""Plain scalars and `${NAME}`: what a word in a YAML file means.

The YAML 1.2 core schema, as editors read it: `NO` and `on` stay words, `12:30` is no number, `010` is ten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

Value = str | int | float | bool | None

TEXT_CHARS_MAX = 65_536
"""Of one scalar after substitution."""
_DIGITS_MAX = 100
"""A longer run of digits stays text; no field takes such a number."""

_WORDS: dict[str, Value] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z")
_NUMBER_START = frozenset("0123456789+-.")

_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})?")


@lru_cache(maxsize=65_536)
def resolve(text: str) -> Value:
    """The value of a plain scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_START or len(text) > _DIGITS_MAX:
        return text
    if _INT.match(text):
        return int(text)
    if _BASED.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITE.match(text):
        return float(text.replace(".", ""))
    return text


class BadReference(ValueError):
    """A `${…}` that cannot be filled in; the text says why, `hint` what would be right."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def substitute(text: str, env: Mapping[str, str]) -> str:
    """Fill in `${NAME}` and `${NAME:-default}` from `env`; `$${` stands for a literal `${`.

    An empty variable counts as unset where there is a default, as in a shell. Raises `BadReference`.
    """

    def fill(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        if match[0] == "$${":
            return "${"
        if name is None:
            hint = "write ${NAME} or ${NAME:-default}; for the two characters themselves write $${"
            raise BadReference("'${' without a variable's name and a closing '}'", hint)
        value = env.get(name)
        if default is not None:
            return value or default
        if value is None:
            hint = f"set it, or give a default: ${{{name}:-…}}"
            raise BadReference(f"the environment variable {name} is not set", hint)
        return value

    filled = _REFERENCE.sub(fill, text)
    if len(filled) > TEXT_CHARS_MAX:
        raise BadReference(f"longer than {TEXT_CHARS_MAX} characters when filled in", "check the variable's value")
    return filled
