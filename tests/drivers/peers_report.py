"""A pytest plugin that prints at the end of a run which independent peers the drivers have talked to.

The tests note them in their reports' user properties (`peers.met`), which pytest-xdist brings to the controller.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

MET = "peer"
MISSING = "peer missing"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    met: Counter[str] = Counter()
    missing: set[str] = set()
    for kind in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(kind, ()):
            for key, value in getattr(report, "user_properties", ()):
                if key == MET and kind == "passed":
                    met[value] += 1
                elif key == MISSING:
                    missing.add(value)
    if not met and not missing:
        return
    terminalreporter.section("independent peers")
    for name, count in sorted(met.items()):
        terminalreporter.line(f"{name}: {count} tests passed")
    for text in sorted(missing):
        terminalreporter.line(f"not there: {text}")
