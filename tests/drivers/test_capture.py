"""A capture's lines, its largest size, and a disk that takes nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.capture import Capture


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_each_note_is_a_line_at_once(tmp_path):
    path = tmp_path / "wires.jsonl"
    capture = Capture(path, lambda: 7)
    capture.note("C1 h:502", "modbus", "out", frame="00ff")
    assert lines(path) == [{"at_ns": 7, "link": "C1 h:502", "protocol": "modbus", "way": "out", "frame": "00ff"}]
    capture.close()
    again = Capture(path, lambda: 8)
    again.note("C1 h:502", "modbus", "in", frame="00")
    again.close()
    assert [line["at_ns"] for line in lines(path)] == [7, 8]


def test_a_full_capture_ends_with_a_line_that_says_so(tmp_path):
    path = tmp_path / "wires.jsonl"
    capture = Capture(path, lambda: 1, bytes_max=200)
    for _ in range(20):
        capture.note("C1", "modbus", "in", frame="00" * 20)
    capture.close()
    found = lines(path)
    assert found[-1] == {"at_ns": 1, "end": "the capture has reached its largest size"}
    assert len(found) == 2
    assert "largest size" in capture.problem


def test_the_size_counts_what_an_earlier_run_left(tmp_path):
    path = tmp_path / "wires.jsonl"
    path.write_bytes(b"x" * 200)
    capture = Capture(path, lambda: 1, bytes_max=200)
    capture.note("C1", "modbus", "in")
    capture.close()
    assert capture.problem


def test_a_disk_that_is_full_ends_the_capture_not_the_link():
    capture = Capture(Path("/dev/full"), lambda: 1)
    capture.note("C1", "modbus", "in", frame="00")
    assert "can't be written" in capture.problem
    capture.note("C1", "modbus", "in", frame="00")
    capture.close()


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Capture(tmp_path / "no" / "such" / "folder", lambda: 1)
