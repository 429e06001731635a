"""Recorded days, replayed: today's kernel decides as it did then. `record.py` beside this file makes them."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from gateway.shell.journal.reader import Reader
from gateway.shell.journal.verify import verify
from gateway.shell.recovery import begin, replay
from gateway.shell.replay import compare

DAYS = sorted(Path(__file__).parent.glob("*.sqlite.xz"))
AS_IT_SHOULD = "if it should decide otherwise now, delete the recording and make it anew with record.py"
WITH_DIGEST_MIN = 0.95
"""Of a day's inputs: only the last batch before each crash has none."""


def test_there_are_recorded_days() -> None:
    assert DAYS, "tests/journals has no recording: make one with record.py"


@pytest.mark.parametrize("day", DAYS, ids=lambda day: day.name)
def test_a_recorded_day_is_decided_the_same_today(day: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(lzma.decompress(day.read_bytes()))
    assert verify(path).problems == []
    with Reader(path) as reader:
        found = compare(reader)
        assert found.difference is None, f"{day.name}: {found.difference}: {AS_IT_SHOULD}"
        assert found.inputs == reader.last_seq
        assert found.with_digest > WITH_DIGEST_MIN * found.inputs
        # The snapshot in its midst is the state that the inputs before it lead to.
        snapshot = reader.latest_snapshot()
        assert snapshot is not None
        kernel, _ = begin(reader, None, 0)
        replay(kernel, reader, 0, snapshot[0])
        assert kernel.snapshot() == snapshot[1]
