"""Replaying a journal: does today's kernel decide the same, what was so at some moment, what changed since."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from gateway import codec
from gateway.commands import state_difference
from gateway.commands.replay import replay
from gateway.contract import HostRequest, RemoveLoad, Started, Tick
from gateway.dispatch.state import State
from gateway.kernel import Kernel
from gateway.shell.engine import digest
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.recovery import ReplayFailed, restore
from gateway.shell.replay import compare, oldest_seq

sys.path.insert(0, str(Path(__file__).parent))

from recorded import BEGIN_NS, SECOND, day, lived

app = Typer()
app.command()(replay)


def called(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def told(result: Result) -> str:
    """Typer draws a frame around what it has to say."""
    return " ".join(result.stderr.replace("│", "").split())


async def filled(bench: Any, data: Path, batches: list[list[object]] | None = None) -> Kernel:
    """A day's journal in a data folder."""
    journal = SqliteJournal.open(data / "journal", "small")
    kernel = await lived(bench.site, journal, day(bench.site) if batches is None else batches)
    await journal.close()
    return kernel


# --- does it decide the same? ---


async def test_today_s_kernel_draws_what_it_drew(bench: Any) -> None:
    journal = MemoryJournal()
    await lived(bench.site, journal, day(bench.site))
    found = compare(journal)
    assert found.difference is None
    # The last batch's digest would have been told with the next one.
    last_batch = 3
    assert (found.begin_seq, found.inputs, found.with_digest) == (0, journal.last_seq, journal.last_seq - last_batch)
    assert found.batches == len(day(bench.site)) - 1


async def test_it_draws_the_same_across_a_restart_without_its_last_digest(bench: Any) -> None:
    journal = MemoryJournal()
    await lived(bench.site, journal, day(bench.site)[:5])
    kernel = restore(bench.site, journal).kernel
    await lived(bench.site, journal, [[Started(8, "1.0")], *day(bench.site)[5:]], kernel)
    found = compare(journal)
    assert found.difference is None
    # Either process' last batch of three is the one whose digest nobody was told.
    assert found.with_digest == journal.last_seq - 3 - 3


async def test_the_first_batch_that_differs_is_named_with_its_inputs(bench: Any) -> None:
    journal, other = MemoryJournal(), MemoryJournal()
    await lived(bench.site, journal, day(bench.site))
    drawn = list(journal.read_drawn(0))
    await other.commit(list(journal.read(0)))
    wrong = [(first, last, bytes(16) if first >= drawn[3][0] else told_of) for first, last, told_of in drawn]
    await other.commit([], wrong)
    difference = compare(other).difference
    assert difference is not None
    assert (difference.first_seq, difference.last_seq) == drawn[3][:2]
    assert [entered.seq for entered, _ in difference.drawn_today] == list(range(drawn[3][0], drawn[3][1] + 1))
    assert digest(effect for _, effects in difference.drawn_today for effect in effects) == drawn[3][2]
    # What comes after the moment that is asked for is not looked at.
    assert compare(other, until_seq=drawn[2][1]).difference is None


async def test_a_kernel_that_decides_otherwise_is_noticed(bench: Any) -> None:
    """The same inputs at another site: its people, places and devices have other names."""
    journal, moved = MemoryJournal(), MemoryJournal()
    await lived(bench.site, journal, day(bench.site))
    for seq, at_ns, data in journal.read(0):
        await moved.commit([(seq, at_ns, data.replace(b"OUT", b"OFF") if seq > 2 else data)])
    await moved.commit([], list(journal.read_drawn(0)))
    difference = compare(moved).difference
    assert difference is not None
    assert any("OFF" in str(entered.body) for entered, _ in difference.drawn_today)


async def test_a_replay_begins_with_the_oldest_snapshot_that_is_left(bench: Any, tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "small", bytes_max=1)
    kernel: Kernel | None = None
    batches = day(bench.site, 8)
    for first in range(0, len(batches), 4):
        kernel = await lived(bench.site, journal, batches[first : first + 4], kernel)
        await journal.save_snapshot(kernel.state.seq, 0, kernel.snapshot())
    await journal.close()
    with Reader(tmp_path / FILE) as reader:
        assert reader.first_seq > 1
        assert oldest_seq(reader) == reader.first_seq - 1
        found = compare(reader)
        assert (found.difference, found.begin_seq) == (None, reader.first_seq - 1)
        assert found.inputs == reader.last_seq - reader.first_seq + 1
        assert found.batches > 0
    # Half way through the making of room no snapshot stands just where the inputs begin.
    database = apsw.Connection(str(tmp_path / FILE))
    first_seq = found.begin_seq + 1
    moved = "UPDATE anchors SET seq = ?1, digest = (SELECT digest FROM inputs WHERE seq = ?1) WHERE name = 'base'"
    database.execute(moved, (first_seq,))
    database.execute("DELETE FROM inputs WHERE seq <= ?", (first_seq,))
    database.close()
    with Reader(tmp_path / FILE) as reader:
        assert oldest_seq(reader) > first_seq
        assert compare(reader).difference is None


async def test_an_input_that_ends_today_s_kernel_is_named(bench: Any) -> None:
    journal = MemoryJournal()
    await lived(bench.site, journal, day(bench.site))
    await journal.commit([(journal.last_seq + 1, 0, b"\xc1")])
    with pytest.raises(ReplayFailed, match=f"input {journal.last_seq} of the journal"):
        compare(journal)


# --- the command ---


async def test_the_state_at_the_end_is_printed(bench: Any, tmp_path: Path) -> None:
    kernel = await filled(bench, tmp_path)
    done = called(tmp_path)
    assert done.exit_code == 0
    assert f"site small, after input {kernel.state.seq}, 2025-06-15T15:06:5" in done.stdout
    assert "O2 (wms, priority 3): released" in done.stdout
    assert "O2/go (move L2, now at IN) is " in done.stdout
    assert "C1         conveyor     Execute      link up, automatic" in done.stdout
    assert "IN         L1, L2, L3" in done.stdout
    assert "C1/1           sent for L1: type induct, zone 1, track_id 1" in done.stdout
    assert "trips: 0" in done.stdout


async def test_the_state_as_json(bench: Any, tmp_path: Path) -> None:
    kernel = await filled(bench, tmp_path)
    seen = json.loads(called(tmp_path, "--json").stdout)
    assert (seen["seq"], seen["epoch"], seen["loads"]) == (kernel.state.seq, 7, {"IN": ["L1", "L2", "L3"]})
    assert [order["order"] for order in seen["open_orders"]] == ["O1", "O2", "O3"]
    assert [command["command"] for command in seen["commands"]] == ["C1/1"]
    assert {device["device"]: device["link"] for device in seen["devices"]} == {"C1": "up"}


async def test_a_warning_does_not_stand_in_the_json(bench: Any, tmp_path: Path) -> None:
    kernel = await filled(bench, tmp_path)
    journal = SqliteJournal.open(tmp_path / "journal", "small")
    await journal.save_snapshot(journal.last_seq, 0, b"\xc1")
    await journal.close()
    done = called(tmp_path, "--json")
    assert json.loads(done.stdout)["seq"] == kernel.state.seq
    assert "snapshot can't be read by this version" in done.stderr


async def test_any_moment_by_number_or_time(bench: Any, tmp_path: Path) -> None:
    await filled(bench, tmp_path)
    by_number = json.loads(called(tmp_path / "journal", "--until", 5, "--json").stdout)
    assert (by_number["seq"], by_number["loads"], by_number["open_orders"]) == (5, {"IN": ["L1"]}, [])
    # The third batch, with input 5 in it, came three seconds after the beginning.
    by_time = json.loads(called(tmp_path, "--until", "2025-06-15T15:06:43Z", "--json").stdout)
    assert by_time == by_number
    beginning = json.loads(called(tmp_path / "journal" / FILE, "--until", 0, "--json").stdout)
    assert (beginning["seq"], beginning["loads"]) == (0, {})


async def test_what_changed_between_two_moments(bench: Any, tmp_path: Path) -> None:
    done_with = HostRequest("wms", "x1", RemoveLoad("L3", "sold"))
    kernel = await filled(bench, tmp_path, [*day(bench.site), [done_with]])
    last = kernel.state.seq
    text = called(tmp_path, "--since", 7, "--until", last, "--diff").stdout
    assert text.startswith("from input 7, 2025-06-15T15:06:44.000Z to input ")
    assert '  + O2  order "O2", client "wms"' in text
    assert '  ~ C1\n      zones.1.state: "empty" → "occupied"' in text
    assert "tally\n  ~ orders_accepted  1 → 3" in text
    assert "standing" not in text
    changes = json.loads(called(tmp_path, "--since", last - 1, "--until", last, "--diff", "--json").stdout)["changes"]
    assert list(changes["loads"]["removed"]) == ["L3"]
    assert changes["orders"]["changed"]["O3"]["state"] == ["released", "failed"]
    nothing = called(tmp_path, "--since", last, "--diff")
    assert "nothing has changed" in nothing.stdout


async def test_verify_says_how_much_could_be_compared(bench: Any, tmp_path: Path) -> None:
    kernel = await filled(bench, tmp_path)
    done = called(tmp_path, "--verify")
    last = kernel.state.seq
    assert done.exit_code == 0
    assert (
        f"replayed {last} inputs after input 0; {last - 3} of them, in 10 batches, had a digest and drew" in done.stdout
    )
    figures = json.loads(called(tmp_path, "--verify", "--json").stdout)
    assert (figures["inputs"], figures["with_digest"], figures["same"]) == (last, last - 3, True)


async def test_verify_shows_what_differs(bench: Any, tmp_path: Path) -> None:
    await filled(bench, tmp_path)
    database = apsw.Connection(str(tmp_path / "journal" / FILE))
    database.execute("UPDATE drawn SET digest = zeroblob(16) WHERE first_seq >= 6")
    database.close()
    done = called(tmp_path, "--verify")
    assert done.exit_code == 1
    assert "DIFFERS   the inputs 6 to 7 draw other effects today:" in done.stdout
    assert '"type": "create_order", "order": "O1"' in done.stdout
    assert '"draws": [{"type": "note"' in done.stdout or '"type": "order_event"' in done.stdout
    figures = json.loads(called(tmp_path, "--verify", "--json").stdout)
    assert (figures["same"], figures["differs"]) == (False, {"first_seq": 6, "last_seq": 7})
    assert [line["seq"] for line in figures["drawn_today"]] == [6, 7]


async def test_verify_of_an_input_that_ends_the_kernel(bench: Any, tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "small")
    await lived(bench.site, journal, day(bench.site))
    await journal.commit([(journal.last_seq + 1, 0, b"\xc1")])
    await journal.close()
    done = called(tmp_path, "--verify")
    assert done.exit_code == 1
    assert "can't be replayed by this version" in done.stderr
    assert called(tmp_path).exit_code == 2


async def test_it_works_beside_a_running_gateway(bench: Any, tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "small")
    kernel = await lived(bench.site, journal, day(bench.site)[:6])
    assert json.loads(called(tmp_path, "--json").stdout)["seq"] == kernel.state.seq
    kernel = await lived(bench.site, journal, day(bench.site)[6:], kernel)
    assert called(tmp_path, "--verify").exit_code == 0
    await journal.close()


async def test_an_old_journal_is_told_its_site(bench: Any, tmp_path: Path) -> None:
    await filled(bench, tmp_path, [[Started(7, "0.1")], [Tick()]])
    done = called(tmp_path)
    assert done.exit_code == 2
    assert "name its YAML with --site PATH" in done.stderr
    # The site that the fixture has read.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "site.yaml").write_text((tmp_path / "site.yaml").read_text())
    done = called(tmp_path, "--site", tmp_path / "site")
    assert done.exit_code == 0
    assert "site small, after input 2" in done.stdout
    broken = tmp_path / "broken.yaml"
    broken.write_text("site: {id: 7}\n")
    assert called(tmp_path, "--site", broken).exit_code == 2


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--diff"], "--diff and --since go together"),
        (["--since", "3"], "--diff and --since go together"),
        (["--since", "3", "--diff", "--verify"], "not with --verify"),
        (["--since", "9", "--until", "3", "--diff"], "--since is input 9, which comes after --until, input 3"),
        (["--until", "4711"], "input 4711 is not in the journal, which has 1 to"),
        (["--until", "noon"], "neither an input's number nor an ISO time"),
    ],
)
async def test_options_that_make_no_sense(bench: Any, tmp_path: Path, options: list[str], text: str) -> None:
    await filled(bench, tmp_path)
    done = called(tmp_path, *options)
    assert done.exit_code == 2
    assert text in told(done)


def test_no_journal(tmp_path: Path) -> None:
    done = called(tmp_path)
    assert done.exit_code == 2
    assert "there is no journal" in done.stderr


# --- the difference itself ---


def test_every_part_of_the_state_is_compared() -> None:
    """What is neither derived nor shown would be a hole in the picture."""
    assert set(State.__struct_fields__) >= state_difference.DERIVED | state_difference.BOOKKEEPING
    before, after = State(), State(epoch=3, people={"anna": "WS1"}, locked=["AGV1"], answers={})
    after.now_ns = BEGIN_NS + SECOND
    changes = state_difference.difference(before, after)
    assert set(changes) == {"epoch", "people", "locked"}
    assert state_difference.as_text(changes) == 'epoch\n  ~ 0 → 3\npeople\n  + anna  "WS1"\nlocked\n  ~ [] → ["AGV1"]'
    assert codec.decode_state(codec.encode_state(after)) == after
