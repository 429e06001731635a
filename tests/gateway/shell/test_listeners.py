"""Whoever keeps effects elsewhere hears each of them once, and of those before a crash from the journal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract import AnnounceLoad, Effect, Reply
from gateway.shell import engine as engine_module
from gateway.shell.recovery import restore

Heard = list[tuple[int, int, Effect]]


def into(heard: Heard) -> Any:
    return lambda seq, number, at_ns, effect: heard.append((seq, number, effect))


async def test_effects_are_heard_in_order_by_input_and_number_until_it_ends(bench: Any) -> None:
    heard: Heard = []
    async with bench.running():
        end = bench.runtime.listen(into(heard))
        await bench.runtime.ask("wms", "a", AnnounceLoad("L1", "IN"))
        await bench.runtime.ask("wms", "b", AnnounceLoad("L2", "NO"))
        end()
        await bench.runtime.ask("wms", "c", AnnounceLoad("L3", "IN"))
    replies = [(effect.request_id, effect.accepted) for _, _, effect in heard if isinstance(effect, Reply)]
    assert replies == [("a", True), ("b", False)]
    names = [(seq, number) for seq, number, _ in heard]
    assert names == sorted(set(names))


async def test_a_start_tells_of_what_was_drawn_since_the_snapshot_as_it_was_told_then(bench: Any) -> None:
    heard: Heard = []
    async with bench.running():
        bench.runtime.listen(into(heard))
        for number in range(5):
            await bench.runtime.ask("wms", str(number), AnnounceLoad(f"L{number}", "OUT"))
    bench.journal.reopen()
    bench.journal._snapshots.clear()  # the process died without one
    again: Heard = []
    assert restore(bench.site, bench.journal, into(again)).replayed == bench.journal.last_seq
    first = heard[0][0]
    assert [each for each in again if each[0] >= first] == heard


async def test_a_snapshot_waits_for_what_was_heard_and_is_not_taken_where_that_fails(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SNAPSHOT_PAUSE_NS", 0)
    kept: list[int] = []
    full = False

    async def keep() -> None:
        if full:
            raise OSError("no room")
        kept.append(bench.journal.last_seq)

    async with bench.running():
        bench.runtime.before_snapshot(keep)
        bench.runtime._engine._snapshot_every = 1
        await bench.runtime.ask("wms", "a", AnnounceLoad("L1", "IN"))
        await bench.runtime.ask("wms", "b", AnnounceLoad("L2", "OUT"))
        assert kept
        full = True
        before = bench.journal.latest_snapshot()
        await bench.runtime.ask("wms", "c", AnnounceLoad("L3", "OUT"))
        assert bench.journal.latest_snapshot() == before
    assert bench.said("no snapshot: what was heard is not durable")


async def test_snapshots_keep_a_pause_unless_very_much_has_come(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "SNAPSHOT_EVERY_MAX", 6)
    taken: list[int] = []
    async with bench.running():
        save = bench.journal.save_snapshot

        async def saving(seq: int, at_ns: int, state: bytes) -> None:
            taken.append(seq)
            await save(seq, at_ns, state)

        bench.journal.save_snapshot = saving
        bench.runtime._engine._snapshot_every = 2
        for number in range(12):
            await bench.runtime.ask("wms", str(number), AnnounceLoad(f"L{number}", "OUT"))
    first, second, *_ = taken
    assert second - first >= 6
    assert len(taken) <= 4  # with the one at the end
