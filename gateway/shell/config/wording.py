"""Plain words for what libyaml and pydantic complain about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gateway.shell.config.problem import Problem
from gateway.shell.config.source import Source

_ID_HINT = "1 to 48 letters, digits, '_', '.' or '-', the first a letter or digit"
_PATTERN_HINT = {
    r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,47}$": _ID_HINT,
    r"^[a-z][a-z0-9_]*$": "small letters, digits and '_', the first a letter",
    r"^opc\.tcp://.+": "an OPC UA address looks like opc.tcp://host:4840/",
    r"^[^/+#$]+$": "the characters / + # $ have a meaning in MQTT topics and cannot be used",
    r"^[A-Za-z0-9_.:\-]+$": "letters, digits, '_', '.', ':' and '-'",
}
_UNITS = (
    ("_mm_s", "mm/s"), ("_mm", "mm"), ("_ms", "ms"), ("_s", "s"), ("_percent", "%"),
)  # fmt: skip
_SHOWN_CHARS_MAX = 60

# What libyaml says → what a person can act on. First match wins.
_SYNTAX = (
    ("found a tab character", "a tab stands where spaces are expected", "indent with spaces only"),
    ("mapping values are not allowed", "a ':' is not expected here",
     "indent a key like its neighbours; put a text that holds ': ' in quotes"),
    ("could not find expected ':'", "a ':' is missing after a key", "write 'key: value'"),
    ("did not find expected '-'", "this does not belong to the list above it",
     "begin it with '- ', or check the indentation"),
    ("did not find expected key", "a key is expected here",
     "check the indentation, and quotes that end too early"),
    ("did not find expected ',' or ']'", "a list opened with '[' is not closed",
     "add ']' or ','; put a text with { } [ ] or ${…} in quotes"),
    ("did not find expected ',' or '}'", "a block opened with '{' is not closed",
     "add '}' or ','; put a text with { } [ ] or ${…} in quotes"),
    ("unexpected end of stream", "a quote is opened and never closed", "close it"),
    ("unknown escape character", "unknown escape in a text in double quotes",
     "write \\\\ for a backslash, or use single quotes"),
    ("did not find expected node content", "a value is missing here", "remove the ',' or bracket, or add the value"),
    ("did not find expected alphabetic", "a name is missing after '&' or '*'", "put a text with & or * in quotes"),
)  # fmt: skip


def syntax(error: yaml.YAMLError, source: Source) -> Problem:
    """The place and the plain words of a text that is not YAML."""
    if isinstance(error, yaml.reader.ReaderError):
        return _bad_character(error, source)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line, mark.column) if mark is not None else (0, 0)
    said = str(getattr(error, "problem", None) or error)
    character = source.line(line + 1)[column : column + 1]
    message, hint = f"not YAML: {said}", "check this line and the one above"
    if "cannot start any token" in said:
        if character == "\t":
            message, hint = "a tab stands where spaces are expected", "indent with spaces only"
        else:
            message, hint = f"a value cannot begin with '{character}'", "put the text in quotes"
    for key, words, help_text in _SYNTAX:
        if key in said:
            message, hint = words, help_text
            break
    context = getattr(error, "context_mark", None)
    if context is not None and message.endswith("closed"):
        if line > context.line or message.endswith("never closed"):
            # What was opened is what a person must look at, not the line where the parser gave up.
            line, column = context.line, context.column
        else:
            message = "not expected here, inside [ ] or { }"
    return Problem(source.name, line + 1, column + 1, column + 2, message, hint)


def _bad_character(error: yaml.reader.ReaderError, source: Source) -> Problem:
    code = error.character if isinstance(error.character, int) else ord(str(error.character)[:1] or "\0")
    before = source.text.partition(chr(code))[0]
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    hint = "remove it; the file may not be a text at all"
    return Problem(source.name, line, column, column + 1, f"the control character 0x{code:02x} is not allowed", hint)


def shown(value: object) -> str:
    """A value as a person wrote it, in quotes and cut to a bearable length."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)
    return f"'{text}'" if len(text) <= _SHOWN_CHARS_MAX else f"'{text[: _SHOWN_CHARS_MAX - 1]}…'"


def unit_of(name: str) -> str:
    """The unit that a key's name ends in, with a space before it, or ''."""
    for ending, unit in _UNITS:
        if name.endswith((ending, ending + "_max")):
            return " " + unit
    return ""


_NUMBER = {"int_type", "int_parsing", "int_from_float", "int_parsing_size"}
_FLOAT = {"float_type", "float_parsing", "finite_number"}
_LIST = {"tuple_type", "list_type"}
_MAP = {"dict_type", "model_type", "model_attributes_type", "mapping_type"}
_BOUND = {
    "greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"), "less_than": ("lt", "less than"),
}  # fmt: skip


def value_error(kind: str, name: str, value: object, context: Mapping[str, Any]) -> tuple[str, str]:
    """Message and hint for a value that does not fit its key `name`; `kind` is pydantic's error type."""
    unit = unit_of(name)
    if value is None and kind != "missing":
        return f"'{name}' has no value", "write a value, or remove the key if it has a default"
    if kind in _NUMBER:
        whole = f"a whole number{' of' + unit if unit else ''}"
        return f"'{name}' must be {whole}, not {_described(value)}", ""
    if kind in _FLOAT:
        return f"'{name}' must be a number, not {_described(value)}", ""
    if kind in _BOUND:
        key, words = _BOUND[kind]
        return f"'{name}' is {value}{unit}; it must be {words} {context[key]}{unit}", ""
    if kind == "string_type":
        return f"'{name}' must be a text, not {_described(value)}", "put it in quotes"
    if kind.startswith("bool"):
        return f"'{name}' must be true or false, not {_described(value)}", ""
    if kind == "literal_error":
        return f"'{name}' is {shown(value)}; it must be {context['expected']}", ""
    if kind == "string_pattern_mismatch":
        return f"'{name}' cannot be {shown(value)}", _PATTERN_HINT.get(context["pattern"], "")
    return _shape_error(kind, name, value, context)


def _shape_error(kind: str, name: str, value: object, context: Mapping[str, Any]) -> tuple[str, str]:
    if kind in _LIST:
        return (
            f"'{name}' must be a list, not {_described(value)}",
            "begin each entry with '- ', or write [a, b]",
        )
    if kind in _MAP:
        return (
            f"'{name}' must be a block of keys, not {_described(value)}",
            "write 'key: value' lines, indented",
        )
    if kind == "too_short":
        least = context["min_length"]
        return f"'{name}' needs at least {least} {'entry' if least == 1 else 'entries'}", ""
    if kind == "too_long":
        return f"'{name}' has more than {context['max_length']} entries", "remove some"
    return f"'{name}' is not valid: {context.get('error', kind.replace('_', ' '))}", ""


def _described(value: object) -> str:
    if isinstance(value, dict):
        return "a block of keys"
    if isinstance(value, list | tuple):
        return "a list"
    return shown(value)
