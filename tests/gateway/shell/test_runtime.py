"""Journal first, then the kernel, then the wire: in good days, with a full disk, and when the kernel itself fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from gateway import codec
from gateway.contract import AlarmEvent, AnnounceLoad, HostRequest, Input, ResetDevice, ShellAlarm, Tick
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.kernel import Kernel
from gateway.shell import engine as engine_module
from gateway.shell import inbox as inbox_module
from gateway.shell.engine import HALTED, HEALTHY, JOURNAL_FULL
from gateway.shell.recovery import ReplayFailed, replay

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
Shown = Callable[..., ConveyorReport]
HERE = Zone(occupied=True, arrivals=1)


async def announced(bench: Any, load: str = "L1", request_id: str = "a1") -> Any:
    return await bench.runtime.ask("wms", request_id, AnnounceLoad(load, "IN"))


def bodies(bench: Any) -> list[Any]:
    return [codec.decode_body(data) for _, _, data in bench.journal.read(0)]


async def test_an_input_is_durable_before_its_effects_leave(bench: Any, wait: Wait, conveyor: Shown) -> None:
    seen: list[int] = []
    async with bench.running():
        send = bench.driver.send

        async def look(command: Any) -> None:
            seen.append(sum(isinstance(b, HostRequest) for b in bodies(bench)))
            await send(command)

        bench.driver.send = look
        bench.driver.connect()
        bench.driver.feed(conveyor(HERE))
        reply = await announced(bench)
        assert reply.accepted
        # Whoever hears "accepted" can rely on it.
        assert any(isinstance(b, HostRequest) for b in bodies(bench))
        await wait(lambda: bool(bench.driver.sent))
    assert seen == [1]
    assert bench.driver.sent[0].action.track_id == 1


async def test_the_order_is_journal_then_kernel_then_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    async with bench.running():
        commit, apply = bench.journal.commit, bench.runtime.kernel.apply

        async def committing(
            records: Sequence[tuple[int, int, bytes]], drawn: Sequence[tuple[int, int, bytes]] = ()
        ) -> None:
            await commit(records, drawn)
            steps.extend(f"stored {seq}" for seq, _, _ in records)

        def applying(entered: Input) -> Any:
            steps.append(f"applied {entered.seq}")
            return apply(entered)

        monkeypatch.setattr(bench.journal, "commit", committing)
        monkeypatch.setattr(bench.runtime.kernel, "apply", applying)
        await announced(bench)
        steps.append("answered")
    bench.journal.reopen()
    asked = next(i for i, b in enumerate(bodies(bench), 1) if isinstance(b, HostRequest))
    assert steps.index(f"stored {asked}") < steps.index(f"applied {asked}") < steps.index("answered")
    for number in {int(s.split()[1]) for s in steps if s.startswith("applied")}:
        assert steps.index(f"stored {number}") < steps.index(f"applied {number}")


async def test_a_command_and_its_echo_go_round(bench: Any, wait: Wait, conveyor: Shown) -> None:
    async with bench.running():
        bench.driver.connect()
        bench.driver.feed(conveyor(HERE))
        await announced(bench)
        await wait(lambda: bool(bench.driver.sent))
        seq = bench.driver.sent[0].seq
        bench.driver.feed(conveyor(Zone(occupied=True, arrivals=1, track_id=1), echo=Echo(seq, seq, 1)))
        await wait(lambda: bench.runtime.kernel.state.loads["L1"].location == "C1.1")
        assert bench.runtime.kernel.state.ledger == {}


async def test_a_command_that_could_not_be_written_comes_back_as_an_input(
    bench: Any, wait: Wait, conveyor: Shown
) -> None:
    async with bench.running():
        bench.driver.connect()
        bench.driver.fail_next_send(certain=True, reason="socket is closed")
        bench.driver.feed(conveyor(HERE))
        await announced(bench)
        await wait(lambda: bool(bench.said("command not written")))
        assert next(iter(bench.runtime.kernel.state.ledger.values())).state == "queued"


# --- a full disk ---


async def test_a_full_journal_accepts_nothing_and_goes_on_by_itself_when_there_is_room(
    bench: Any, wait: Wait, conveyor: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FULL_RETRY_S", 0.01)
    async with bench.running():
        bench.driver.connect()
        await wait(lambda: bench.runtime.kernel.state.conveyors["C1"].health.link == "up")
        bench.journal.full = True
        bench.driver.feed(conveyor(HERE))
        await wait(lambda: bench.runtime.status == JOURNAL_FULL)
        stored = bench.journal.last_seq
        reply = await announced(bench)
        assert not reply.accepted
        assert reply.reason == "not accepted, nothing stored: the gateway's state is journal full"
        assert (bench.journal.last_seq, bench.driver.sent) == (stored, [])
        alarms = [e for _, e in bench.runtime.events if isinstance(e, AlarmEvent)]
        assert [(a.alarm, a.active) for a in alarms] == [("journal/full", True)]
        assert "make room on its disk" in alarms[0].text
        bench.journal.full = False
        await wait(lambda: bench.runtime.status == HEALTHY)
        assert (await announced(bench, request_id="a2")).accepted
        # What came in meanwhile was not lost: the load at the entry is named now.
        await wait(lambda: bool(bench.driver.sent))
        alarms = [e for _, e in bench.runtime.events if isinstance(e, AlarmEvent)]
        assert [(a.alarm, a.active) for a in alarms] == [("journal/full", True), ("journal/full", False)]


async def test_a_request_that_was_under_way_when_the_disk_filled_is_answered_in_the_end(
    bench: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "FULL_RETRY_S", 0.01)
    async with bench.running():
        bench.journal.full = True
        asked = asyncio.create_task(announced(bench))
        await wait(lambda: bench.runtime.status == JOURNAL_FULL)
        assert not asked.done()
        bench.journal.full = False
        async with asyncio.timeout(10):
            assert (await asked).accepted


# --- a kernel that fails ---


def fail_at(monkeypatch: pytest.MonkeyPatch, load: str) -> None:
    """The kernel has a bug: this load is its end."""
    apply = Kernel.apply

    def applying(self: Kernel, entered: Input) -> Any:
        body = entered.body
        if isinstance(body, HostRequest) and getattr(body.request, "load", "") == load:
            raise AssertionError("a bug of ours")
        return apply(self, entered)

    monkeypatch.setattr(Kernel, "apply", applying)


async def test_a_kernel_that_fails_stops_sending_and_stays_visible(
    bench: Any, wait: Wait, conveyor: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running():
        bench.driver.connect()
        await announced(bench)
        fail_at(monkeypatch, "BAD")
        asked = asyncio.create_task(announced(bench, "BAD", "a2"))
        await wait(lambda: bench.runtime.status == HALTED)
        alarm = next(e for _, e in bench.runtime.events if isinstance(e, AlarmEvent) and e.code == "halted")
        assert alarm.active
        assert "a bug of ours" in alarm.text
        stored = bench.journal.last_seq
        # The load that was announced before stands at the entry: nobody names it any more.
        bench.driver.feed(conveyor(HERE))
        bench.inbox.post(ShellAlarm("test", "here", "still taken in", active=True))
        await wait(lambda: bench.journal.last_seq >= stored + 2)
        assert bench.driver.sent == []
        assert not bench.driver.stopped
        reply = await announced(bench, "L3", "a3")
        assert (reply.accepted, reply.reason) == (False, "not accepted, nothing stored: the gateway's state is halted")
        asked.cancel()


async def test_whoever_was_asking_when_the_kernel_failed_gets_an_answer(
    bench: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running():
        fail_at(monkeypatch, "BAD")
        asked = asyncio.create_task(announced(bench, "BAD", "a1"))
        await wait(lambda: bench.runtime.status == HALTED)
        try:
            async with asyncio.timeout(2):
                assert not (await asked).accepted
        except TimeoutError:
            pytest.fail("the host waits for ever")


async def test_no_snapshot_is_taken_of_a_kernel_that_failed(
    bench: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running():
        fail_at(monkeypatch, "BAD")
        asked = asyncio.create_task(announced(bench, "BAD", "a1"))
        await wait(lambda: bench.runtime.status == HALTED)
        asked.cancel()
    bench.journal.reopen()
    assert bench.journal.latest_snapshot() is None


async def test_a_start_on_a_journal_that_can_t_be_replayed_says_which_input_and_what_to_do(
    bench: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running():
        await announced(bench)
        fail_at(monkeypatch, "BAD")
        asked = asyncio.create_task(announced(bench, "BAD", "a2"))
        await wait(lambda: bench.runtime.status == HALTED)
        asked.cancel()
    bench.journal.reopen()
    number = next(i for i, b in enumerate(bodies(bench), 1) if getattr(b, "request_id", "") == "a2")
    with pytest.raises(ReplayFailed, match=f"input {number} of the journal .*a bug of ours.*call support"):
        bench.build()


# --- requests that never reach the kernel ---


async def test_a_request_that_finds_the_inbox_full_is_refused(
    bench: Any, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running():
        monkeypatch.setattr(inbox_module, "WAITING_MAX", 0)
        try:
            async with asyncio.timeout(2):
                assert not (await announced(bench)).accepted
        except TimeoutError:
            pytest.fail("the host waits for ever")


async def test_a_request_with_a_number_that_no_journal_can_hold_is_refused(bench: Any) -> None:
    async with bench.running():
        async with asyncio.timeout(5):
            reply = await bench.runtime.ask("wms", "r1", ResetDevice("C1", 10**25))
        assert not reply.accepted
        assert (await announced(bench)).accepted


async def test_two_askers_with_one_request_id_and_other_content_are_told_apart(bench: Any) -> None:
    async with bench.running():
        first, second = await asyncio.gather(announced(bench, "L1", "same"), announced(bench, "L2", "same"))
        assert first.accepted
        assert not second.accepted
        assert "L2" not in bench.runtime.kernel.state.loads


# --- restart ---


async def test_a_restart_comes_back_to_the_same_state_and_a_higher_epoch(
    bench: Any, wait: Wait, conveyor: Shown
) -> None:
    async with bench.running():
        bench.driver.connect()
        bench.driver.feed(conveyor(HERE))
        await announced(bench)
        await wait(lambda: bool(bench.driver.sent))
        first = bench.driver.sent[0]
    before = codec.decode_state(bench.runtime.kernel.snapshot())
    async with bench.running():
        state = bench.runtime.kernel.state
        assert state.epoch > before.epoch
        assert state.loads == before.loads
        assert state.ledger.keys() == before.ledger.keys()
        assert state.conveyors["C1"].health.link == "down"
        # It was sent, and nothing is known of it: after the reconnect it is written again with the same number.
        bench.driver.connect()
        bench.driver.feed(conveyor(HERE))
        await wait(lambda: bool(bench.driver.sent))
        assert (bench.driver.sent[0].seq, bench.driver.sent[0].action) == (first.seq, first.action)
        assert bench.driver.sent[0].epoch == state.epoch


async def test_without_a_snapshot_the_journal_alone_gives_the_same_state(
    bench: Any, wait: Wait, conveyor: Shown
) -> None:
    async with bench.running():
        bench.driver.connect()
        bench.driver.feed(conveyor(HERE))
        for number in range(3):
            await announced(bench, f"L{number}", f"a{number}")
        await wait(lambda: bool(bench.driver.sent))
    live, kernel = bench.runtime.kernel.snapshot(), Kernel(bench.site)
    bench.journal.reopen()
    assert replay(kernel, bench.journal, 0) == bench.journal.last_seq
    assert kernel.snapshot() == live


async def test_time_passes_without_inputs(bench: Any, wait: Wait) -> None:
    async with bench.running():
        await wait(lambda: any(isinstance(b, Tick) for b in bodies(bench)))


async def test_at_its_end_outputs_are_brought_to_their_known_state_and_the_journal_is_closed(bench: Any) -> None:
    async with bench.running():
        await announced(bench)
    assert bench.driver.stopped
    bench.journal.reopen()
    newest = bench.journal.latest_snapshot()
    assert newest is not None
    assert newest[0] == bench.journal.last_seq
