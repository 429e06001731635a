"""A rule that has never fired is none: each is broken here on purpose, by a gateway, a PLC or a person that cheats."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from stack_checkers import LivesOn, NothingBlind
from stack_gateway import Gateway, OpenJournal, Record
from stack_run import Options, Outcome, Run

from drivers.modbus.driver import ModbusDriver
from gateway.contract import Command, DeviceId, Driver, Tick
from gateway.devices.conveyor import Induct
from gateway.shell.clock import SteadyClock
from gateway.shell.inbox import Inbox
from gateway.simulation.watch import Watch
from plc_simulators.models.mailbox import Mailbox, Offer


def broken(outcome: Outcome) -> str:
    """The rule that the run has broken."""
    assert outcome.violation is not None, "nobody has noticed"
    return outcome.violation.checker


class EarlyJournal(OpenJournal):
    """Says that inputs are durable when they are on their way to the disk; a process that dies takes them along."""

    LATE_S = 1.0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._written: asyncio.Task[None] | None = None

    async def _store(self, records: Sequence[Record], drawn: Sequence[Record]) -> None:
        self._written = asyncio.create_task(self._write(records, drawn, self._written))

    async def _write(
        self, records: Sequence[Record], drawn: Sequence[Record], before: asyncio.Task[None] | None
    ) -> None:
        await asyncio.sleep(self.LATE_S)
        if before is not None:
            await before
        await self._disk.journal.commit(records, drawn)


def test_a_journal_that_promises_too_early_is_found_out_by_a_crash() -> None:
    run = Run(1, Options(trouble_s=120.0, total_s=120.0, fault_mean_s=8.0, kinds=("crash",)))
    run.gateway.journal_type = EarlyJournal
    assert broken(run.go()) in ("orders", "journal")


class ForgetfulMailbox(Mailbox):
    """A PLC that takes every write for a new command."""

    def take(self, now_ns: int) -> Offer | None:
        self._results.clear()
        return super().take(now_ns)


def test_a_plc_that_runs_a_number_again_is_found_out() -> None:
    kinds = ("connection_reset", "crash", "cable_pulled")
    run = Run(3, Options(trouble_s=150.0, total_s=150.0, fault_mean_s=3.0, order_mean_s=8.0, kinds=kinds))
    for controller in run.hall.plant.controllers().values():
        controller.mailbox = ForgetfulMailbox()
    assert broken(run.go()) == "once"


def test_a_load_that_vanishes_is_missed() -> None:
    run = Run(3, Options(trouble_s=60.0, total_s=60.0, order_mean_s=4.0, kinds=()))

    async def steal() -> None:
        stand: list[str] = []
        while not stand:
            await asyncio.sleep(0.1)
            stand = [load for load, place in run.hall.plant.standing() if place.startswith("C1/")]
        run.hall.plant.take_away(stand[0])

    thief = run.loop.create_task(steal())
    assert broken(run.go()) == "loads"
    assert thief.done()


class CarelessDriver(ModbusDriver):
    """Begins something that nobody ends."""

    async def run(self) -> None:
        self.forgotten = asyncio.create_task(asyncio.sleep(10_000.0), name="forgotten")
        await super().run()


class FragileDriver(ModbusDriver):
    """Fails with an error that it should have kept to itself."""

    async def run(self) -> None:
        await asyncio.sleep(3.0)
        raise ValueError("what is a coil?")


class CuriousDriver(ModbusDriver):
    """Keeps a second connection to its device."""

    async def run(self) -> None:
        connection = self._wire._connection
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, connection.host, connection.port)
        await super().run()


def with_driver(kind: type[ModbusDriver]) -> Run:
    """A short run in which C1 is driven by a driver of that kind."""

    class OddGateway(Gateway):
        def _drivers(self, inbox: Inbox, clock: SteadyClock) -> dict[DeviceId, Driver]:
            found = super()._drivers(inbox, clock)
            found["C1"].__class__ = kind
            return found

    class OddRun(Run):
        gateway_type = OddGateway

    return OddRun(4, Options(trouble_s=10.0, total_s=10.0, kinds=()))


def test_a_task_that_outlives_the_gateway_is_found() -> None:
    outcome = with_driver(CarelessDriver).go()
    assert broken(outcome) == "tasks"
    assert "forgotten" in outcome.story()


def test_a_driver_that_has_to_be_started_again_is_told_of() -> None:
    outcome = with_driver(FragileDriver).go()
    assert broken(outcome) == "parts"
    assert "what is a coil?" in outcome.story()


def test_a_second_connection_to_a_device_is_seen() -> None:
    assert broken(with_driver(CuriousDriver).go()) == "tasks"


def test_a_kernel_that_fails_is_told_of() -> None:
    run = Run(5, Options(trouble_s=10.0, total_s=10.0, kinds=()))

    async def poison() -> None:
        await asyncio.sleep(5.0)
        assert run.gateway.runtime is not None
        run.gateway.runtime.kernel.floor.runs.append(None)  # type: ignore[arg-type]

    poisoner = run.loop.create_task(poison())
    assert broken(run.go()) in ("parts", "total")
    assert poisoner.done()


def watch_at(now_s: float) -> Watch:
    return Watch(SimpleNamespace(now_ns=int(now_s * 1e9)))  # type: ignore[arg-type]


def test_a_command_for_a_device_that_nobody_has_heard_for_long_is_seen() -> None:
    watch, hands = watch_at(20.0), SimpleNamespace(blind_since={"C1": 18.0, "C2": 2.0})
    checker = NothingBlind(watch, hands)  # type: ignore[arg-type]
    checker.released(Command("C1/1", "C1", 1, 1, 0, Induct(1, 7)))
    assert watch.violation is None
    checker.released(Command("C2/1", "C2", 1, 1, 0, Induct(1, 7)))
    assert watch.violation is not None
    assert "has not been heard for 18.0 s" in watch.violation.text


def test_time_that_goes_back_is_seen() -> None:
    watch = watch_at(0.0)
    checker = LivesOn(watch)
    checker.entered(Tick(), 5_000_000_000)
    checker.entered(Tick(), 4_000_000_000)
    assert watch.violation is not None
    assert "1.000 s before" in watch.violation.text
