"""A checker that has never fired is no checker: none may be added without a bug that it finds."""

from __future__ import annotations

import re
from pathlib import Path

from planted import CALM, built

BESIDE_THE_CHECKERS = {"bounded", "total"}
"""Rules that the run and the server hold themselves."""


def test_every_rule_has_found_a_planted_bug() -> None:
    rules = {checker.name for checker in built(1, CALM).watch.checkers} | BESIDE_THE_CHECKERS
    tests = (path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_planted_*.py"))
    assert {name for text in tests for name in re.findall(r'caught\(\s*"(\w+)"', text)} == rules


def test_only_the_first_broken_rule_counts() -> None:
    watch = built(1, CALM).watch
    watch.say("something")
    watch.fail("places", "two loads")
    watch.fail("books", "what follows from it")
    assert watch.violation is not None
    assert (watch.violation.checker, watch.violation.text) == ("places", "two loads")
    assert watch.violation.events == ("    0.000 s  something",)
