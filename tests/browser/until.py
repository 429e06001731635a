"""Waiting for what a page comes to, without `eval` in the page: its content security policy forbids that."""

from __future__ import annotations

import time
from typing import Any

LOOK_MS = 40


def until(page: Any, expression: str, seconds_max: float = 15.0) -> float:
    """Until `expression` is true in the page; returns after how many seconds it was. Fails when it never is."""
    began_s = time.monotonic()
    while not page.evaluate(expression):
        assert time.monotonic() - began_s < seconds_max, f"never: {expression}"
        page.wait_for_timeout(LOOK_MS)
    return time.monotonic() - began_s
