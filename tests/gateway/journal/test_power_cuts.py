"""The journal on a disk that loses its power, and the proof that this bench would see a loss (see bench/power.py)."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from bench import power
from bench.power_disk import SECTOR_BYTES, WAYS, Disk
from bench.power_ledger import Batch, Drawn, Found, Ledger, Record, Verdict
from bench.power_session import PHASES
from bench.power_vfs import plugged

CUTS = 40
CONTROL_CUTS = 24


def test_acknowledged_batches_survive_power_cuts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "numbers.json"
    assert power.main(["--cuts", str(CUTS), "--seed", "3", "--json", str(file), "--keep", str(tmp_path)]) == 0
    numbers = json.loads(file.read_text("utf-8"))
    assert numbers["cuts"] == CUTS
    assert numbers["acknowledged"] > CUTS
    assert numbers["lost"] == numbers["torn"] == numbers["snapshots_lost"] == numbers["damaged"] == 0
    assert numbers["errors_logged"] == 0
    assert len(numbers["cuts_by_phase"]) >= len(PHASES) - 2
    assert set(numbers["cuts_by_what_arrived"]) == set(WAYS)
    assert "batches: " in capsys.readouterr().out


def test_without_full_syncs_acknowledged_batches_are_lost() -> None:
    control = power.campaign(CONTROL_CUTS, 3, "normal")
    assert power.proves("normal", control)
    assert not control.good
    # NORMAL gives up durability, never order: what is there is whole. Where the witness has seen more, it says so.
    assert control.torn == 0
    assert control.damaged == sum("is an older copy" in cut for cut in control.bad)


def test_on_a_disk_that_ignores_syncs_the_journal_is_lost_and_damaged() -> None:
    control = power.campaign(CONTROL_CUTS, 3, "deaf")
    assert control.lost > 0
    assert control.damaged > 0
    assert control.as_json()["bad"]


# --- the ledger: each way of being wrong is seen ---

RECORDS: list[Record] = [(seq, 10 + seq, b"body of %d" % seq) for seq in range(1, 6)]
DRAWN: list[Drawn] = [(1, 2, b"1"), (3, 3, b"2")]
"""What the first two batches drew, each told with the batch after it."""
STATE = (2, b"state")


def ledger() -> Ledger:
    """Three batches, two of them acknowledged, and a snapshot after the second input."""
    parts = (RECORDS[:2], []), (RECORDS[2:3], DRAWN[:1]), (RECORDS[3:], DRAWN[1:])
    made = Ledger([Batch(tuple(records), tuple(drawn)) for records, drawn in parts])
    made.acknowledge(made.batches[1])
    made.snapshots[2] = STATE[1]
    made.acknowledge_snapshot(2)
    return made


def test_what_was_acknowledged_and_at_most_whole_batches_more_is_good() -> None:
    assert ledger().verdict(Found(1, RECORDS[:3], DRAWN[:1], STATE)).good
    assert ledger().verdict(Found(1, RECORDS, DRAWN, STATE)).good
    assert ledger().verdict(Found(3, RECORDS[2:], DRAWN[1:], STATE)).good, "inputs before a snapshot may have made room"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found(1, RECORDS[:2], [], STATE), Verdict(lost=1)),
        (Found(), Verdict(lost=2, snapshots_lost=1)),
        (Found(1, RECORDS[:4], DRAWN[:1], STATE), Verdict(torn=1)),
        (Found(1, RECORDS[:3], DRAWN[:1], None), Verdict(snapshots_lost=1)),
    ],
)
def test_the_ledger_counts_what_is_lost_or_torn(found: Found, expected: Verdict) -> None:
    assert ledger().verdict(found) == expected
    assert not expected.good


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Found(1, [*RECORDS[:2], (3, 13, b"x")], DRAWN[:1], STATE), "input 3 is not what was written (3 found, 3 exp"),
        (Found(1, [RECORDS[1], RECORDS[0], RECORDS[2]], DRAWN[:1], STATE), "input 2 is not what was written"),
        (Found(1, [RECORDS[0], RECORDS[2]], DRAWN[:1], STATE), "input 3 is not what was written (2 found, 3 expected)"),
        (Found(1, RECORDS[:3], [], STATE), "what was drawn from input 1 is not what was written (0 found, 1 expected)"),
        (Found(1, RECORDS[:3], [(1, 2, b"x")], STATE), "what was drawn from input 1 is not what was written"),
        (Found(1, RECORDS[:3], DRAWN[:1], (2, b"other")), "snapshot 2 is not what was written"),
        (Found(1, RECORDS[:3], DRAWN[:1], (4, b"state")), "snapshot 4 is newer than the last input 3"),
        (Found(4, RECORDS[3:], [], STATE), "inputs after snapshot 2 up to 3 made room"),
    ],
)
def test_the_ledger_tells_what_is_not_as_it_was_written(found: Found, problem: str) -> None:
    verdict = ledger().verdict(found)
    assert verdict.problem.startswith(problem)
    assert not verdict.good


def test_what_was_found_is_owed_from_then_on_and_what_was_not_is_forgotten() -> None:
    book = ledger()
    book.frozen = True
    book.acknowledge(book.batches[2])
    assert book.acknowledged == 2, "nobody hears an acknowledgement after the cut"
    book.go_on_from(Found(1, RECORDS, DRAWN, STATE))
    assert book.acknowledged == 3
    assert book.verdict(Found(1, RECORDS[:3], DRAWN[:1], STATE)) == Verdict(lost=1)
    book.go_on_from(Found(1, RECORDS[:3], DRAWN[:1], STATE))
    assert book.last_seq == 3


# --- the disk: it loses what was not synced, and only that ---


def test_the_disk_keeps_what_was_synced_and_any_sectors_of_the_rest() -> None:
    old, new = b"o" * 3 * SECTOR_BYTES, b"n" * 3 * SECTOR_BYTES
    seen = set()
    for seed in range(200):
        disk = Disk({"f": b""}, named=True)
        disk.change(disk.content("f"), 0, old)
        disk.content("f").sync()
        disk.change(disk.content("f"), 0, new)
        left = disk.after_cut(random.Random(seed), "scattered")
        assert left is not None
        assert set(left["f"]) <= set(b"on")
        seen.add(bytes(left["f"][place * SECTOR_BYTES] for place in range(3)))
        assert disk.after_cut(random.Random(seed), "nothing") == {"f": old}
        assert disk.after_cut(random.Random(seed), "everything") == {"f": new}
    assert len(seen) == 2**3, "each sector by itself is old or new"


def test_a_name_lasts_when_its_folder_was_synced_and_so_does_its_end() -> None:
    disk = Disk({}, named=False)
    disk.change(disk.content("f"), 0, b"content")
    disk.content("f").sync()
    assert disk.after_cut(random.Random(1), "nothing") is None
    disk.named = True
    assert disk.after_cut(random.Random(1), "nothing") == {}
    disk.sync_names()
    assert disk.after_cut(random.Random(1), "nothing") == {"f": b"content"}
    disk.remove("f")
    assert disk.after_cut(random.Random(1), "nothing") == {"f": b"content"}
    assert {len(disk.after_cut(random.Random(seed), "in order") or {}) for seed in range(20)} == {0, 1}
    disk.sync_names()
    assert disk.after_cut(random.Random(1), "nothing") == {}


def test_a_file_that_grew_by_what_did_not_arrive_reads_as_something_else() -> None:
    disk = Disk({"f": b"s" * SECTOR_BYTES}, named=True)
    disk.change(disk.content("f"), SECTOR_BYTES, b"1" * SECTOR_BYTES)
    disk.change(disk.content("f"), 2 * SECTOR_BYTES, b"2" * SECTOR_BYTES)
    lengths, holes = set(), 0
    for seed in range(200):
        left = disk.after_cut(random.Random(seed), "scattered")
        assert left is not None
        lengths.add(len(left["f"]))
        assert left["f"][:SECTOR_BYTES] == b"s" * SECTOR_BYTES
        holes += (
            len(left["f"]) == 3 * SECTOR_BYTES and left["f"][SECTOR_BYTES : 2 * SECTOR_BYTES] != b"1" * SECTOR_BYTES
        )
    assert lengths == {SECTOR_BYTES, 2 * SECTOR_BYTES, 3 * SECTOR_BYTES}
    assert holes > 0


def test_a_truncation_may_or_may_not_have_arrived() -> None:
    disk = Disk({"f": b"a" * 2 * SECTOR_BYTES}, named=True)
    disk.change(disk.content("f"), 100, None)
    disk.change(disk.content("f"), 100, b"b" * 50)
    left = [disk.after_cut(random.Random(seed), "scattered") for seed in range(100)]
    assert {len(one["f"]) for one in left if one} == {100, 150, 2 * SECTOR_BYTES}
    assert disk.after_cut(random.Random(1), "everything") == {"f": b"a" * 100 + b"b" * 50}


def test_a_file_beside_the_database_lasts_with_its_sync_and_its_new_name_with_that_of_the_folder(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    with plugged() as vfs:
        power_on = vfs.switch_on(folder, Disk({"head": b"old"}, named=True), lambda kind, what: None)
        part = folder / "head.new"
        with part.open("wb") as file:
            file.write(b"new")
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / "head")
        left = [power_on.disk.after_cut(random.Random(seed), "in order") for seed in range(20)]
        assert {one.get("head", b"") for one in left if one} == {b"old", b"new"}
        assert power_on.disk.after_cut(random.Random(1), "nothing") == {"head": b"old"}
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        assert power_on.disk.after_cut(random.Random(1), "nothing") == {"head": b"new"}
