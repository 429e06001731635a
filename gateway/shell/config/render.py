"""Problems as text for people and as JSON for editors."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from gateway.shell.config.problem import PROBLEMS_MAX, Problem
from gateway.shell.config.source import Source

_LINE_CHARS_MAX = 160


def as_text(problems: Sequence[Problem], sources: Mapping[str, Source]) -> str:
    """A paragraph a problem with its source line and a caret below, and the count at the end."""
    if not problems:
        return "no errors\n"
    parts = [_paragraph(problem, sources.get(problem.file)) for problem in problems[:PROBLEMS_MAX]]
    if len(problems) > PROBLEMS_MAX:
        parts.append(f"… and {len(problems) - PROBLEMS_MAX} more\n")
    files = len({problem.file for problem in problems})
    parts.append(f"{_count(len(problems), 'error')} in {_count(files, 'file')}\n")
    return "\n".join(parts)


def as_json(problems: Sequence[Problem]) -> str:
    """A list of objects with file, line, column, end_column (from 1, end exclusive), message, hint, severity."""
    return json.dumps([asdict(problem) for problem in problems], ensure_ascii=False, indent=2) + "\n"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _paragraph(problem: Problem, source: Source | None) -> str:
    lines = [f"{problem.where()}: {problem.message}"]
    text = source.line(problem.line) if source is not None else ""
    if text.strip():
        lines.extend(_marked(text, problem.column, problem.end_column))
    if problem.hint:
        lines.append(f"    hint: {problem.hint}")
    return "\n".join(lines) + "\n"


def _marked(text: str, column: int, end_column: int) -> list[str]:
    """The source line and the carets below it; a long line is cut around the place."""
    start = min(column - 1, len(text))
    end = max(min(end_column - 1, len(text)), start + 1)
    left = max(0, start - _LINE_CHARS_MAX // 2) if len(text) > _LINE_CHARS_MAX else 0
    right = left + _LINE_CHARS_MAX
    cut = text[left:right]
    before = "…" if left else ""
    after = "…" if right < len(text) else ""
    carets = "^" * max(1, _width(text[start : min(end, right)]))
    return [
        f"    {before}{_clean(cut)}{after}",
        "    " + " " * (len(before) + _width(text[left:start])) + carets,
    ]


def _clean(text: str) -> str:
    """A tab takes one place and control characters none, so that the caret stands under its character."""
    return "".join(" " if c == "\t" else c for c in text if c == "\t" or not unicodedata.category(c).startswith("C"))


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones and control characters none."""
    width = 0
    for c in _clean(text):
        if not unicodedata.combining(c):
            width += 2 if unicodedata.east_asian_width(c) in "WF" else 1
    return width
