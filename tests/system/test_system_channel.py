"""What hosts drop into the folder of a running gateway, and a disk that is full for a while."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

BAD_FILES: dict[str, bytes] = {
    "empty": b"",
    "no-json": b"order 5 totes",
    "half": b'[{"request_id": "x", "request": {"type": "announce_load"',
    "unknown": b'{"request_id": "x", "request": {"type": "launch"}}',
    "unknown-field": b'{"request_id": "x", "request": {"type": "cancel_order", "order": "O1", "why": "so"}}',
    "no-request": b'{"request_id": "x"}',
    "latin-1": b'{"request_id": "\xff", "request": {"type": "cancel_order", "order": "O1"}}',
    "deep": b"[" * 20_000,
    "numbers": b"[1, 2, 3]",
    "huge-number": b'{"request_id": "x", "request": {"type": "create_order", "priority": 1e99}}',
    "large": b" " * (5 * 2**20),
}
"""None of these is a request; with one of them in a list, nothing of the list may be carried out."""


async def test_malformed_files_are_told_and_harm_nothing(new_gateway: Any, sort_order: Any, wait_for: Any) -> None:
    gateway = new_gateway({})
    await gateway.begin()
    folder = gateway.data / "inbox" / "wms"
    for name, content in BAD_FILES.items():
        gateway.drop(name, content)
    (folder / "folder.json").mkdir()
    (folder / "dangling.json").symlink_to(folder / "nowhere")
    half_good = [*sort_order(1), {"request_id": "z", "request": {"type": "launch"}}]
    gateway.drop("half-good", half_good)
    gateway.drop("refused", {"request_id": "r", "request": {"type": "create_order", "order": "O2", "steps": []}})
    gateway.drop("zz-good", sort_order(3))
    good = await wait_for(lambda: gateway.reply("zz-good"), 20)
    assert [answer["accepted"] for answer in good] == [True, True]
    (refused,) = gateway.reply("refused")
    assert not refused["accepted"]
    assert "1 to 64 steps" in refused["reason"]
    expected = {*BAD_FILES, "folder", "dangling", "half-good"}
    reasons = {path.name.removesuffix(".reason.txt") for path in (folder / "failed").glob("*.reason.txt")}
    assert reasons == expected
    assert {path.stem for path in (folder / "failed").glob("*.json")} == expected
    assert len(gateway.logged("file refused")) == len(expected)
    assert await gateway.stop() == 0
    state = await gateway.state()
    assert list(state.orders) == ["O3"]
    assert list(state.loads) == ["L3"]
    assert gateway.complaints() == ""


def limit_files(pid: int, size_bytes: int) -> None:
    """Let no file of the process grow beyond `size_bytes`: its disk is full, and others' is not."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes if size_bytes >= 0 else hard, hard))


async def test_a_full_disk_stops_the_taking_until_there_is_room(
    new_gateway: Any, sort_order: Any, wait_for: Any
) -> None:
    gateway = new_gateway({})
    await gateway.begin()
    gateway.drop("0001", sort_order(1))
    await wait_for(lambda: gateway.reply("0001"), 20)
    pid = gateway.process.pid
    wal = gateway.data / "journal" / "journal.sqlite-wal"
    limit_files(pid, size_of(wal))
    gateway.drop("0002", sort_order(2))
    await wait_for(lambda: any("journal is full" in line for line in log_of(gateway)), 20)
    # Files asked about before it was noticed wait; one that comes now is refused or waits, but never accepted.
    gateway.drop("0003", sort_order(3))
    assert gateway.reply("0002") is None
    assert not any(answer["accepted"] for answer in gateway.reply("0003") or [])
    assert gateway.process.returncode is None
    limit_files(pid, -1)
    await wait_for(lambda: gateway.reply("0002"), 20, "taken in when there is room again")
    assert all(answer["accepted"] for answer in gateway.reply("0002"))
    assert len([line for line in log_of(gateway) if "journal is full" in line]) == 1
    # Not healthy is not dead: it stops in order, and the next start knows what was promised.
    limit_files(pid, size_of(wal))
    assert await gateway.stop() == 0
    state = await gateway.state()
    answers = {number: gateway.reply(f"{number:04d}") or [] for number in (1, 2, 3)}
    promised = {number for number, given in answers.items() if given and all(a["accepted"] for a in given)}
    assert promised >= {1, 2}
    assert {f"O{number}" for number in promised} <= set(state.orders)


def size_of(path: Path) -> int:
    return path.stat().st_size


def log_of(gateway: Any) -> list[str]:
    """The log as raw lines: its last one may be cut where the file could not grow."""
    return (gateway.data / "gateway.log").read_text("utf-8").splitlines()
