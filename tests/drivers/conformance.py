"""What every driver must do whatever its protocol: the cases, written against `rig_device.Rig`.

A case is an async function of a `Stage`. It drives the driver through `contract.Driver` alone and watches what the
sink gets and what the equipment has received. Bounds in time are three times what the driver's settings promise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rig_device import Rig

from gateway.contract import LinkChanged, NotWritten, Report

SLACK = 3.0
SHORT_S = 0.2
LOST_SLACK_S = 3.0
"""On top of `SLACK` times a bound: a loaded machine."""

EXEMPT = {
    ("replies_beyond_the_time_out", "vda5050"): "MQTT at QoS 0 has no replies that could be late",
    ("a_command_without_write_access_is_refused", "vda5050"): "a VDA 5050 profile has no signals to allow or deny",
    ("events_come_once_and_in_order", "modbus"): "the conveyor's profile has no events",
    ("events_come_once_and_in_order", "vda5050"): "vehicles have no event ring; a factsheet is told when it changes",
}
"""(case, protocol) → why it can't apply."""


@dataclass
class Stage:
    """A rig that runs, with the proxy listening, and no driver yet."""

    rig: Rig
    sink: Any
    until: Callable[..., Awaitable[None]]
    running: Callable[[Any], asyncio.Task[None]]

    @property
    def links(self) -> list[str]:
        return list(self.sink.links(self.rig.device))

    @property
    def reports(self) -> list[Any]:
        return list(self.sink.reports(self.rig.device))

    @property
    def is_up(self) -> bool:
        return self.links[-1:] == ["up"]

    def levels(self) -> list[int]:
        return [self.rig.level(report) for report in self.reports]

    async def begin(self, **how: Any) -> Any:
        """A driver that is up."""
        driver = self.rig.driver(self.sink, **how)
        self.running(driver)
        await self.comes_up()
        return driver

    async def comes_up(self, limit_s: float = 15.0) -> None:
        await self.until(lambda: self.is_up, "up", limit_s)

    async def leaves_up(self, bound_s: float) -> None:
        await self.until(lambda: not self.is_up, "the link is not up any more", SLACK * bound_s + LOST_SLACK_S)

    async def shows(self, level: int) -> None:
        """The device shows a level, and it is reported."""
        self.rig.show(level)
        await self.until(lambda: self.levels()[-1:] == [level] and self.is_up, f"level {level} is reported", 15.0)

    async def refuses(self, driver: Any, seq: int, **how: Any) -> str:
        """A command is refused for certain; the reason."""
        with pytest.raises(NotWritten) as refused:
            await driver.send(self.rig.command(seq, **how))
        assert refused.value.certain, refused.value.reason
        assert self.rig.device in refused.value.reason
        return refused.value.reason

    async def sends(self, driver: Any, seq: int) -> NotWritten | None:
        """Send a command; what became of it if it was not written."""
        try:
            await driver.send(self.rig.command(seq))
        except NotWritten as failure:
            return failure
        return None

    async def works(self, driver: Any, seq: int) -> None:
        """A command gets through, at the latest when the link is up again."""
        end_s = time.monotonic() + 15.0
        while True:
            failure = await self.sends(driver, seq)
            if failure is None:
                break
            assert failure.certain, failure.reason
            assert time.monotonic() < end_s, failure.reason
            await asyncio.sleep(0.02)
        await self.until(lambda: seq in self.rig.numbers, f"command {seq} is there")

    def require_orderly(self) -> None:
        """After `up` comes a report; there is none while the link is not up; no change is told twice."""
        posts = [p for p in self.sink.posts if isinstance(p, LinkChanged | Report) and p.device == self.rig.device]
        state = ""
        for at, post in enumerate(posts):
            if isinstance(post, Report):
                assert state == "up", f"a report while the link is {state or 'unknown'}"
                assert self.rig.is_valid(post.data), post.data
                continue
            assert post.state != state or post.reason != posts[at - 1].reason, f"{state} twice: {post.reason}"
            assert post.state != "up" or state != "up", "up twice"
            assert post.reason
            state = post.state
            if state == "up":
                assert at + 1 == len(posts) or isinstance(posts[at + 1], Report), "no full report after `up`"
        self.require_whole_commands()

    def require_whole_commands(self) -> None:
        received = self.rig.received
        assert all(each.is_whole for each in received), received
        assert len(set(self.rig.numbers)) == len(received), f"a number came twice: {self.rig.numbers}"


# --- coming and going ---


async def late_first_connect(stage: Stage) -> None:
    stage.rig.away()
    driver = stage.rig.driver(stage.sink)
    stage.running(driver)
    await stage.until(lambda: stage.links, "the absence is told")
    assert stage.links == ["down"]
    reason = stage.sink.reason(stage.rig.device)
    assert stage.rig.device in reason
    assert str(stage.rig.proxy.port) in reason
    assert "?" in reason, f"says nothing of what to look at: {reason}"
    await stage.refuses(driver, 1)
    await stage.rig.back()
    await stage.comes_up()
    assert stage.links == ["down", "up"]
    await stage.until(lambda: stage.reports, "a full report")
    assert not stage.rig.received


async def reset_connections(stage: Stage) -> None:
    driver = await stage.begin()
    assert driver.figures()[0].connects == 1
    for drop in (1, 2):
        stage.rig.away()
        await stage.until(lambda: not stage.is_up, "the loss is told")
        await stage.refuses(driver, drop)
        await stage.rig.back()
        await stage.comes_up()
        assert stage.links == ["up", *["down", "up"] * drop]
        await stage.until(lambda drop=drop: len(stage.reports) > drop, "a report after each up")
    assert not stage.rig.received
    (figures,) = driver.figures()
    assert (figures.device, figures.connects) == (stage.rig.device, 3)
    assert figures.data_age_ms is not None
    await stage.works(driver, 3)


async def half_open_socket(stage: Stage) -> None:
    driver = await stage.begin()
    stage.rig.proxy.lose()
    await stage.leaves_up(stage.rig.silent_s)
    await stage.refuses(driver, 1)
    stage.rig.proxy.find()
    await stage.comes_up()
    await stage.works(driver, 2)
    assert stage.rig.numbers == [2]


async def frozen_at_connect(stage: Stage) -> None:
    stage.rig.proxy.freeze()
    driver = stage.rig.driver(stage.sink)
    stage.running(driver)
    limit_s = SLACK * stage.rig.connect_s + LOST_SLACK_S
    await stage.until(lambda: stage.links, "a peer that does not answer is told", limit_s)
    assert stage.links == ["down"]
    assert "?" in stage.sink.reason(stage.rig.device)
    await stage.refuses(driver, 1)
    stage.rig.proxy.thaw()
    await stage.comes_up()
    assert not stage.rig.received


async def frozen_in_the_middle(stage: Stage) -> None:
    driver = await stage.begin()
    reports = len(stage.reports)
    stage.rig.proxy.freeze()
    await stage.leaves_up(stage.rig.silent_s)
    await stage.refuses(driver, 1)
    stage.rig.show(33)
    stage.rig.proxy.thaw()
    await stage.comes_up()
    await stage.until(lambda: len(stage.reports) > reports and stage.levels()[-1] == 33, "a report of now")
    await stage.works(driver, 2)
    assert stage.rig.numbers == [2]


async def life_stops_while_the_connection_stands(stage: Stage) -> None:
    driver = await stage.begin()
    stage.rig.beating = False
    await stage.leaves_up(stage.rig.silent_s)
    assert stage.links[-1] == "uncertain"
    await stage.refuses(driver, 1)
    stage.rig.beating = True
    await stage.comes_up()
    assert stage.links == ["up", "uncertain", "up"]
    await stage.works(driver, 2)


async def a_restarted_peer_shows_its_new_state(stage: Stage) -> None:
    await stage.begin()
    await stage.shows(21)
    stage.rig.away()
    await stage.until(lambda: not stage.is_up, "the loss is told")
    before = len(stage.reports)
    is_new = await stage.rig.restart()
    stage.rig.show(22)
    await stage.rig.back()
    await stage.comes_up()
    await stage.until(lambda: stage.levels()[-1] == 22, "the new level")
    fresh = stage.reports[before:]
    assert fresh
    assert all(is_new(report) for report in fresh), "something of the old run was reported as fresh"
    assert not any(is_new(report) for report in stage.reports[:before])


# --- what is said ---


async def bad_values(stage: Stage) -> None:
    driver = await stage.begin()
    await stage.shows(11)
    good, before = stage.reports[-1], len(stage.reports)
    await stage.rig.bad(on=True)
    await stage.until(lambda: stage.sink.bad, "the bad value is counted")
    device, signal, _, problem = stage.sink.bad[0]
    assert (device, bool(signal), bool(problem)) == (stage.rig.device, True, True)
    # A device that was asked for its state as the link came up may have answered once more before it went bad.
    assert all(report == good for report in stage.reports[before:]), "the last good report stands"
    assert "down" not in stage.links
    await stage.rig.bad(on=False)
    await stage.shows(12)
    assert driver.figures()[0].bad_values >= 1
    await stage.works(driver, 1)


async def bad_values_at_connect(stage: Stage) -> None:
    await stage.rig.bad(on=True)
    await stage.rig.settle()
    driver = stage.rig.driver(stage.sink)
    stage.running(driver)
    await stage.until(lambda: stage.sink.bad, "the bad value is counted")
    assert not stage.reports
    await stage.refuses(driver, 1)
    await stage.rig.bad(on=False)
    await stage.shows(13)


async def replies_within_the_time_out(stage: Stage) -> None:
    driver = await stage.begin(stale_ms=10_000)
    # Half of it, since a loaded machine takes its share of the rest.
    stage.rig.proxy.delay_s = (stage.rig.timeout_ms or 800) / 2000
    for level in (5, 6):
        await stage.shows(level)
    await stage.works(driver, 1)
    assert stage.links == ["up"]


async def replies_beyond_the_time_out(stage: Stage) -> None:
    driver = await stage.begin(stale_ms=10_000)
    stage.rig.proxy.delay_s = 2.5 * stage.rig.timeout_ms / 1000
    await stage.leaves_up(stage.rig.timeout_ms / 1000)
    assert "?" in stage.sink.reason(stage.rig.device)
    stage.rig.proxy.delay_s = 0.0
    await stage.comes_up()
    await stage.works(driver, 1)


async def events_come_once_and_in_order(stage: Stage) -> None:
    driver = await stage.begin()
    rig = stage.rig

    def tracks() -> list[int]:
        return [notice.data.track_id for notice in stage.sink.notices(rig.device)]

    for number in range(1, 6):
        rig.notify(number)
    await stage.until(lambda: len(tracks()) >= 5, "five events")
    await driver.consume(rig.device, 3)
    rig.away()
    await stage.until(lambda: not stage.is_up, "the loss is told")
    for number in range(6, 11):
        rig.notify(number)
    await rig.back()
    await stage.until(lambda: len(tracks()) >= 10, "ten events", 15.0)
    assert tracks() == list(range(1, 11))
    await rig.restart()
    rig.notify(11)
    await stage.until(lambda: 11 in tracks(), "the first event of the new run")
    await stage.shows(7)
    assert tracks() == list(range(1, 12))
    assert [notice.ring_index for notice in stage.sink.notices(rig.device)] == [*range(1, 11), 1]
    assert not stage.sink.alarms(), "none was lost"


async def duplicated_messages(stage: Stage) -> None:
    driver = await stage.begin()
    count = 0

    def doubled(piece: bytes) -> tuple[bytes, ...]:
        nonlocal count
        count += 1
        return (piece, piece) if count % 7 == 0 else (piece,)

    stage.rig.proxy.on_reply = doubled
    for level in range(1, 16):
        stage.rig.show(level)
        await asyncio.sleep(0.05)
    await stage.until(lambda: count >= 28, "four doubles")
    stage.rig.proxy.on_reply = None
    await stage.shows(16)
    levels = [level for level in stage.levels() if level <= 16]
    assert levels[-15:] == sorted(levels[-15:]), levels
    notices = [(n.ring_index, repr(n.data)) for n in stage.sink.notices(stage.rig.device)]
    assert len(notices) == len(set(notices))
    await stage.works(driver, 1)


async def replayed_messages(stage: Stage) -> None:
    """What the device said before comes once more: an older level never follows a newer one."""
    driver = await stage.begin()
    await stage.shows(20)
    stage.rig.proxy.captured.clear()
    await stage.shows(30)
    old = list(stage.rig.proxy.captured)[:20]
    assert old
    await stage.shows(40)
    seen = len(stage.levels())
    for piece in old:
        if not stage.rig.proxy.inject(piece):
            break
        await asyncio.sleep(0.02)
    await stage.shows(41)
    assert set(stage.levels()[seen:]) <= {40, 41}, f"an older level after a newer one: {stage.levels()[seen - 1 :]}"
    await stage.works(driver, 1)


# --- commands ---


async def a_cancelled_command_leaves_no_half(stage: Stage) -> None:
    driver = await stage.begin()
    seq = 0
    for turns in (0, 1, 2, 3, 5, 8, 13, 21):
        seq += 2
        sending = asyncio.create_task(driver.send(stage.rig.command(seq - 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await stage.works(driver, seq)
    stage.require_whole_commands()


async def a_command_cancelled_while_it_waits_for_its_answer(stage: Stage) -> None:
    driver = await stage.begin()
    for seq in (1, 3):
        await stage.comes_up()
        stage.rig.proxy.freeze()
        sending = asyncio.create_task(driver.send(stage.rig.command(seq)))
        await stage.until(lambda sending=sending: stage.rig.proxy.held or sending.done(), "something is under way")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        stage.rig.proxy.thaw()
        await stage.works(driver, seq + 1)
    stage.require_whole_commands()


async def a_command_without_an_answer_is_not_repeated(stage: Stage) -> None:
    driver = await stage.begin()
    proxy = stage.rig.proxy

    def swallow() -> None:
        proxy.swallows_replies = True

    stage.rig.on_received = swallow
    sending = asyncio.create_task(stage.sends(driver, 1))
    await stage.until(lambda: stage.rig.numbers == [1], "the equipment has it")
    if stage.rig.timeout_ms:
        await stage.leaves_up(stage.rig.timeout_ms / 1000)
    stage.rig.on_received = lambda: None
    proxy.swallows_replies = False
    proxy.cut()
    failure = await sending
    assert failure is None or not failure.certain, failure.reason
    await stage.shows(9)
    await stage.works(driver, 2)
    assert stage.rig.numbers == [1, 2]


async def many_commands_at_once(stage: Stage) -> None:
    driver = await stage.begin()
    commands = [driver.send(stage.rig.command(seq)) for seq in range(1, 13)]
    outcomes = await asyncio.gather(*commands, return_exceptions=True)
    written = [seq for seq, outcome in enumerate(outcomes, 1) if outcome is None]
    assert all(outcome is None or isinstance(outcome, NotWritten) for outcome in outcomes), outcomes
    await stage.until(lambda: set(written) <= set(stage.rig.numbers), "all that were written are there")
    assert written
    stage.require_whole_commands()


async def nothing_before_up_and_nothing_late(stage: Stage) -> None:
    stage.rig.beating = False
    await stage.rig.settle()
    driver = stage.rig.driver(stage.sink)
    await stage.refuses(driver, 1)
    stage.running(driver)
    await stage.until(lambda: stage.rig.proxy.answered, "connected")
    await stage.refuses(driver, 2)
    stage.rig.beating = True
    await stage.comes_up()
    assert "deadline" in await stage.refuses(driver, 3, deadline_ns=time.time_ns() - 1_000_000)
    await stage.works(driver, 4)
    await driver.safe_stop()
    assert "stopping" in await stage.refuses(driver, 5)
    await asyncio.sleep(SHORT_S)
    assert stage.rig.numbers == [4]


async def a_dead_peer_does_not_hold_up_the_stop(stage: Stage) -> None:
    driver = await stage.begin()
    stage.rig.proxy.lose()
    begun_s = time.monotonic()
    await driver.safe_stop()
    assert time.monotonic() - begun_s < SLACK * stage.rig.timeout_ms / 1000 + 1.0
    await stage.refuses(driver, 1)
    assert not stage.rig.received


async def a_command_without_write_access_is_refused(stage: Stage) -> None:
    driver = await stage.begin(read_only=True)
    await stage.refuses(driver, 1)
    await stage.shows(8)
    assert not stage.rig.received
    assert stage.links == ["up"]


CASES = (
    late_first_connect,
    reset_connections,
    half_open_socket,
    frozen_at_connect,
    frozen_in_the_middle,
    life_stops_while_the_connection_stands,
    a_restarted_peer_shows_its_new_state,
    bad_values,
    bad_values_at_connect,
    replies_within_the_time_out,
    replies_beyond_the_time_out,
    events_come_once_and_in_order,
    duplicated_messages,
    replayed_messages,
    a_cancelled_command_leaves_no_half,
    a_command_cancelled_while_it_waits_for_its_answer,
    a_command_without_an_answer_is_not_repeated,
    many_commands_at_once,
    nothing_before_up_and_nothing_late,
    a_dead_peer_does_not_hold_up_the_stop,
    a_command_without_write_access_is_refused,
)
