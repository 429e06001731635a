"""Requests are put in order and again where that helps, and what met a limit does not hold up a whole file."""

from __future__ import annotations

from typing import Any

import structlog

from gateway.contract import RemoveLoad, Reply
from gateway.host.channels.asking import Asking
from gateway.host.channels.intake import Piece

from .conftest import Desk


def pieces(*names: str) -> list[Piece]:
    return [Piece(f"line {number}", name, RemoveLoad(name)) for number, name in enumerate(names, 1)]


def asking(desk: Desk, in_flight_max: int = 100) -> Asking:
    log: Any = structlog.testing.CapturingLogger()
    return Asking("wms", desk.ask, in_flight_max, log)


async def test_what_was_not_taken_is_asked_again_in_its_order() -> None:
    desk = Desk()
    full = {"b", "c"}

    def refuse(request_id: str) -> Reply | None:
        if request_id in full:
            full.discard(request_id)
            return Reply("wms", request_id, False, "too much is waiting", "limit")
        return None

    desk.refuses = refuse
    outcomes = await asking(desk).ask_all(pieces("a", "b", "c"))
    assert [request_id for request_id, _ in desk.asked] == ["a", "b", "c", "b", "c"]
    assert [(outcome.place, outcome.accepted) for outcome in outcomes] == [(f"line {n}", True) for n in (1, 2, 3)]


async def test_a_limit_is_the_answer_after_some_tries_and_then_at_once() -> None:
    desk = Desk()
    desk.refuses = lambda request_id: (
        Reply("wms", request_id, False, "10000 orders are open", "limit") if request_id != "free" else None
    )
    way = asking(desk, in_flight_max=2)
    outcomes = await way.ask_all(pieces("a", "b", "c", "d", "e"), tries_max=2)
    assert [request_id for request_id, _ in desk.asked] == ["a", "b", "a", "b", "c", "d", "e"]
    assert {outcome.code for outcome in outcomes} == {"limit"}
    desk.asked.clear()
    await way.ask_all(pieces("free"), tries_max=2)
    await way.ask_all(pieces("f"), tries_max=2)  # something was taken: it is worth a second try again
    assert [request_id for request_id, _ in desk.asked] == ["free", "f", "f"]


async def test_a_record_without_a_request_has_its_reason_as_answer() -> None:
    desk = Desk()
    given = [Piece("line 2", "", None, "no rule"), *pieces("a")]
    first, second = await asking(desk).ask_all(given)
    assert (first.place, first.accepted, first.reason, first.code) == ("line 2", False, "no rule", "invalid")
    assert (second.request, second.accepted) == ("remove_load a", True)
