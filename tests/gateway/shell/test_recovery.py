"""The kernel at a moment of its journal: from the best snapshot, and what is said where there is none."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.contract import Started, Tick
from gateway.dispatch.state import State
from gateway.kernel import Kernel
from gateway.shell.journal import JournalForeign, JournalGap
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.snapshots import STATE_FORMAT
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.recovery import NothingToBeginWith, ReplayFailed, SiteUnknown, rebuild, restore

sys.path.insert(0, str(Path(__file__).parent))

from recorded import day, lived


@pytest.fixture(params=["sqlite", "memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    opened = SqliteJournal.open(tmp_path, "small") if request.param == "sqlite" else MemoryJournal()
    yield opened
    await opened.close()


async def test_the_state_after_any_input_is_that_which_was(bench: Any, journal: Any) -> None:
    """With a snapshot in the midst, so that some moments are reached from it and some from the beginning."""
    states: dict[int, bytes] = {0: Kernel(bench.site).snapshot()}
    kernel: Kernel | None = None
    for number, batch in enumerate(day(bench.site)):
        kernel = await lived(bench.site, journal, [batch], kernel)
        states[kernel.state.seq] = kernel.snapshot()
        if number == 5:
            await journal.save_snapshot(kernel.state.seq, 0, kernel.snapshot())
    kept = journal.latest_snapshot()[0]
    assert 0 < kept < journal.last_seq
    for seq, state in states.items():
        found = rebuild(journal, bench.site, seq)
        assert found.kernel.snapshot() == state
        assert (found.snapshot_seq, found.replayed) == ((kept, seq - kept) if seq >= kept else (0, seq))
    assert restore(bench.site, journal).kernel.snapshot() == states[journal.last_seq]


async def test_the_journal_itself_says_which_site_was_in_force(bench: Any, journal: Any) -> None:
    kernel = await lived(bench.site, journal, day(bench.site))
    assert rebuild(journal).kernel.snapshot() == kernel.snapshot()
    await journal.save_snapshot(journal.last_seq, 0, kernel.snapshot())
    found = rebuild(journal)
    assert found.replayed == 0
    assert found.kernel.site == bench.site


async def test_a_journal_that_does_not_say_its_site_needs_it_named(bench: Any, journal: Any) -> None:
    kernel = await lived(bench.site, journal, [[Started(7, "0.1")], [Tick()]])
    with pytest.raises(SiteUnknown, match="--site PATH"):
        rebuild(journal)
    assert rebuild(journal, bench.site).kernel.snapshot() == kernel.snapshot()
    await journal.save_snapshot(2, 0, kernel.snapshot())
    with pytest.raises(SiteUnknown):
        rebuild(journal)
    assert rebuild(journal, bench.site).replayed == 0


async def test_an_older_snapshot_that_can_t_be_read_any_more_is_passed_over(bench: Any, journal: Any) -> None:
    batches = day(bench.site)
    kernel = await lived(bench.site, journal, batches[:4])
    good = kernel.state.seq
    await journal.save_snapshot(good, 0, kernel.snapshot())
    kernel = await lived(bench.site, journal, batches[4:], kernel)
    await journal.save_snapshot(journal.last_seq, 0, b"\x81\xa3old\xa6format")
    found = restore(bench.site, journal)
    # MessagePack of something else would pass for a state with nothing in it, if nobody looked at its number.
    assert (found.snapshot_seq, found.kernel.snapshot()) == (good, kernel.snapshot())


async def test_a_state_from_before_states_knew_their_number_is_taken(bench: Any, journal: Any) -> None:
    kernel = await lived(bench.site, journal, day(bench.site))
    old = msgspec.msgpack.decode(kernel.snapshot())
    del old["seq"]
    await journal.save_snapshot(journal.last_seq, 0, msgspec.msgpack.encode(old))
    found = restore(bench.site, journal)
    assert (found.replayed, found.kernel.snapshot()) == (0, kernel.snapshot())


async def test_without_any_readable_snapshot_all_inputs_are_replayed(bench: Any, journal: Any) -> None:
    kernel = await lived(bench.site, journal, day(bench.site))
    await journal.save_snapshot(3, 0, b"\xc1")
    await journal.save_snapshot(journal.last_seq, 0, b"\xc1")
    found = restore(bench.site, journal)
    assert (found.snapshot_seq, found.replayed) == (0, journal.last_seq)
    assert found.kernel.snapshot() == kernel.snapshot()


async def _compacted(bench: Any, folder: Path, state: bytes | None) -> tuple[SqliteJournal, Kernel]:
    """A journal whose oldest inputs have made room; None: with states that can be read."""
    journal = SqliteJournal.open(folder, "small", bytes_max=1)
    kernel: Kernel | None = None
    for batch in day(bench.site, 6):
        kernel = await lived(bench.site, journal, [batch], kernel)
        await journal.save_snapshot(kernel.state.seq, 0, state or kernel.snapshot())
    assert kernel is not None
    await journal.close()
    journal = SqliteJournal.open(folder, "small")
    assert journal.first_seq > 1
    return journal, kernel


async def test_a_compacted_journal_begins_with_its_snapshot(bench: Any, tmp_path: Path) -> None:
    journal, kernel = await _compacted(bench, tmp_path, None)
    assert restore(bench.site, journal).kernel.snapshot() == kernel.snapshot()
    with pytest.raises(JournalGap, match=f"the oldest that is left is {journal.first_seq}"):
        rebuild(journal, bench.site, 1)
    await journal.close()


async def test_a_compacted_journal_without_a_readable_snapshot_can_t_be_restored(bench: Any, tmp_path: Path) -> None:
    journal, _ = await _compacted(bench, tmp_path, b"\xc1")
    with pytest.raises(NothingToBeginWith, match=f"begin with {journal.first_seq}: start the version that wrote it"):
        restore(bench.site, journal)
    await journal.close()


async def test_a_snapshot_of_a_newer_gateway_is_never_decoded(bench: Any, tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "small", state_format=STATE_FORMAT + 1)
    kernel = await lived(bench.site, journal, day(bench.site))
    await journal.save_snapshot(journal.last_seq, 0, kernel.snapshot())
    await journal.close()
    with Reader(tmp_path / FILE) as reader:
        with pytest.raises(JournalForeign, match="start the newer gateway"):
            restore(bench.site, reader)
        assert rebuild(reader, bench.site, 2).replayed == 2


async def test_an_input_that_can_t_be_read_is_named(bench: Any, journal: Any) -> None:
    await lived(bench.site, journal, day(bench.site))
    last = journal.last_seq
    await journal.commit([(last + 1, 0, b"\x81\xa4type\xa8tomorrow")])
    with pytest.raises(
        ReplayFailed, match=f"input {last + 1} of the journal .*start the version that wrote it"
    ) as caught:
        restore(bench.site, journal)
    assert caught.value.seq == last + 1
    assert rebuild(journal, bench.site, last).kernel.state.seq == last


async def test_a_journal_that_begins_with_an_input_of_tomorrow_is_told(journal: Any) -> None:
    await journal.commit([(1, 0, b"\x81\xa4type\xa8tomorrow")])
    with pytest.raises(ReplayFailed, match="input 1 of the journal"):
        rebuild(journal)


def without_words(schema: Any) -> Any:
    """A JSON Schema without its descriptions: another docstring is no other format."""
    if isinstance(schema, list):
        return [without_words(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: without_words(value) for key, value in schema.items() if key not in ("description", "title")}


def test_the_state_s_shape_goes_with_its_format() -> None:
    """A field that came, went or is otherwise: an older gateway would lose it silently, a newer one might not read it.

    Raise STATE_FORMAT by one where a released version has written the present one, then put the new digest here.
    """
    shape = msgspec.json.encode(without_words(msgspec.json.schema(State)), order="sorted")
    assert (STATE_FORMAT, blake2b(shape, digest_size=8).hexdigest()) == (1, "3028dc2ecf865a21")
