"""What a restart relies on: the rule that the journal equals the state finds whatever is not in both."""

from __future__ import annotations

import time

import pytest
from planted import CALM, caught

from gateway import codec
from gateway.contract import Effect, Input
from gateway.kernel import Kernel
from gateway.shell.engine import Engine
from gateway.simulation.disk import SimJournal
from gateway.simulation.run import Options

CRASHES = Options(hours=0.05, kinds=("crash",), fault_mean_s=10)


def test_journal_an_engine_that_concludes_before_its_inputs_are_durable() -> None:
    """Effects first, commit after: quicker, and wrong as soon as the process dies in between."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        async def hasty(self: Engine, bodies: list[object]) -> None:
            now_ns = self._now_ns()
            inputs = [Input(self.last_seq + number, now_ns, body) for number, body in enumerate(bodies, 1)]
            self._conclude(inputs)
            await self._make_durable([(i.seq, now_ns, codec.encode_body(i.body)) for i in inputs])
            self.last_seq += len(inputs)

        patch.setattr(Engine, "take", hasty)

    caught("journal", plant, CRASHES)


def test_journal_a_kernel_that_reads_a_clock() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        apply = Kernel.apply

        def timed(self: Kernel, entered: Input) -> list[Effect]:
            began_ns = time.perf_counter_ns()
            effects = apply(self, entered)
            self.state.tally.scans += time.perf_counter_ns() - began_ns
            return effects

        patch.setattr(Kernel, "apply", timed)

    caught("journal", plant, CALM)


def test_journal_a_kernel_that_keeps_a_count_beside_its_state() -> None:
    """A number in the object instead of the state: a snapshot does not have it, so a restart begins it anew."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        apply = Kernel.apply

        def counting(self: Kernel, entered: Input) -> list[Effect]:
            self.entered = getattr(self, "entered", 0) + 1  # type: ignore[attr-defined]
            self.state.tally.scans = self.entered  # type: ignore[attr-defined]
            return apply(self, entered)

        patch.setattr(Kernel, "apply", counting)

    caught("journal", plant, CALM)


def test_journal_a_snapshot_with_the_number_of_the_next_batch() -> None:
    """Off by one batch: whatever comes after it is never replayed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        save_snapshot = SimJournal.save_snapshot

        async def late(self: SimJournal, seq: int, at_ns: int, state: bytes) -> None:
            await save_snapshot(self, seq + 20, at_ns, state)

        patch.setattr(SimJournal, "save_snapshot", late)

    caught("journal", plant, CALM)
