"""A problem of a configuration, with the place that a person must look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROBLEMS_MAX = 1000
"""Beyond this many problems the rest is counted, not listed: nobody reads on."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong. Lines and columns count from 1; `end_column` is the first one after it."""

    file: str
    line: int
    column: int
    end_column: int
    message: str
    hint: str = ""
    severity: Literal["error"] = "error"

    def where(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"
