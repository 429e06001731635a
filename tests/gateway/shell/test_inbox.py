"""The inbox: newest level wins, everything else keeps its order, nothing grows without a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.contract import LinkChanged, Notice, Report
from gateway.shell import inbox as inbox_module
from gateway.shell.inbox import Inbox


def new() -> tuple[Inbox, Any]:
    log = structlog.testing.CapturingLogger()
    return Inbox(log), log  # type: ignore[arg-type]


def test_a_newer_report_takes_the_place_of_one_that_waits_behind_what_came_in_between() -> None:
    inbox, _ = new()
    inbox.post(Report("C1", 1))
    inbox.post(Notice("S1", "scan"))
    inbox.post(Report("C1", 2))
    inbox.post(Report("S1", 3))
    assert inbox.take(10) == [Notice("S1", "scan"), Report("C1", 2), Report("S1", 3)]


def test_a_report_after_one_that_was_taken_is_a_new_one() -> None:
    inbox, _ = new()
    inbox.post(Report("C1", 1))
    assert inbox.take(1) == [Report("C1", 1)]
    inbox.post(Report("C1", 2))
    inbox.post(Report("C1", 3))
    assert inbox.take(1) == [Report("C1", 3)]
    assert inbox.take(1) == []


def test_no_more_is_taken_than_asked_for() -> None:
    inbox, _ = new()
    for number in range(5):
        inbox.post(Notice("S1", number))
    assert [n.data for n in inbox.take(2)] == [0, 1]  # type: ignore[union-attr]
    assert [n.data for n in inbox.take(9)] == [2, 3, 4]  # type: ignore[union-attr]


POSTS = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.sampled_from("ABC")),
        st.tuples(st.just("notice"), st.sampled_from("ABC")),
        st.tuples(st.just("take"), st.integers(1, 4)),
    ),
    max_size=60,
)


@given(POSTS)
def test_notices_come_once_in_order_and_the_last_report_of_each_device_comes(posts: list[tuple[str, Any]]) -> None:
    inbox, _ = new()
    given_notices: list[Any] = []
    newest: dict[str, int] = {}
    got: list[Any] = []
    for number, (kind, what) in enumerate(posts):
        if kind == "take":
            got += inbox.take(what)
        elif kind == "report":
            inbox.post(Report(what, number))
            newest[what] = number
        else:
            given_notices.append(Notice(what, number))
            inbox.post(given_notices[-1])
    got += inbox.take(1000)
    assert [g for g in got if isinstance(g, Notice)] == given_notices
    reports = [g for g in got if isinstance(g, Report)]
    assert {r.device: r.data for r in reports} == newest
    for device in newest:
        numbers = [r.data for r in reports if r.device == device]
        assert numbers == sorted(set(numbers))
    # Order between the two kinds: each comes after all that was posted before it and still waited.
    numbers = [g.data for g in got]
    assert all(a < b for g, a in zip(got, numbers, strict=True) if isinstance(g, Notice)
               for b in numbers[numbers.index(a) + 1:] if isinstance(b, int))  # fmt: skip


def test_at_the_limit_notices_are_refused_and_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "WAITING_MAX", 3)
    inbox, log = new()
    for number in range(6):
        inbox.post(Notice("S1", number))
    assert inbox.overflowed == 3
    assert [call.method_name for call in log.calls] == ["error"]
    assert [n.data for n in inbox.take(9)] == [0, 1, 2]  # type: ignore[union-attr]


def test_at_the_limit_a_level_and_the_state_of_a_link_still_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver posts a change of its link once: if it is lost, the kernel believes in a dead link for ever."""
    monkeypatch.setattr(inbox_module, "WAITING_MAX", 2)
    inbox, _ = new()
    for number in range(3):
        inbox.post(Notice("S1", number))
    inbox.post(Report("C1", 1))
    inbox.post(LinkChanged("C1", "down", "cable pulled"))
    taken = inbox.take(9)
    assert Report("C1", 1) in taken
    assert LinkChanged("C1", "down", "cable pulled") in taken


async def test_waiting_ends_when_something_comes_or_the_time_is_over() -> None:
    inbox, _ = new()
    await inbox.wait(0.0)
    waiting = asyncio.create_task(inbox.wait(60.0))
    await asyncio.sleep(0)
    inbox.post(Notice("S1", 1))
    async with asyncio.timeout(5):
        await waiting
    inbox.take(1)
    await inbox.wait(0.01)
    assert inbox.take(1) == []


def test_a_bad_value_is_logged_once_and_counted_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "BAD_VALUES_LOGGED_MAX", 2)
    inbox, log = new()
    for signal in ("a", "a", "b", "c", "d", "c"):
        inbox.bad_value("C1", signal, object(), "not a number")
    assert inbox.bad_values == {("C1", "a"): 2, ("C1", "b"): 1, ("C1", "…"): 3}
    assert len(log.calls) == 3


def test_telemetry_keeps_the_newest_value_of_each_signal() -> None:
    inbox, _ = new()
    inbox.telemetry("AGV1", {"x_mm": 1, "y_mm": 1})
    inbox.telemetry("AGV1", {"x_mm": 2})
    assert inbox.telemetry_by_device == {"AGV1": {"x_mm": 2, "y_mm": 1}}
    assert len(inbox) == 0
