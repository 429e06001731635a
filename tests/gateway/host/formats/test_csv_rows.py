"""CSV: dialects, encodings, and every refusal with its line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.host.formats import READERS, Limits, Unreadable
from gateway.host.formats.csv_rows import CsvOptions, read, read_slices

LIMITS = Limits()


def rows(data: bytes, **options: Any) -> list[dict[str, object]]:
    return [row for part in read_slices(io.BytesIO(data), CsvOptions(**options), 2) for row in part]


def test_rows_know_their_lines(sample: Callable[[str], bytes]) -> None:
    found = READERS["csv"](sample("orders.csv"), LIMITS)
    assert [row["@line"] for row in found] == [2, 4, 6]
    assert [row["note"] for row in found] == ["two\r\nlines, one cell", 'say "fragile"', "Größe L"]
    assert found[0]["order"] == "O-1"


def test_another_dialect_with_an_end_mark(sample: Callable[[str], bytes]) -> None:
    options = CsvOptions(delimiter=";", encoding="latin-1", end_mark="#ENDE", required=("Auftrag", "Behälter"))
    found = read(sample("orders_semicolon.csv"), LIMITS, options)
    assert found == [
        {"@line": 2, "Auftrag": "A1", "Behälter": "B7", "Ziel": "Gasse 3"},
        {"@line": 3, "Auftrag": "A2", "Behälter": "B8", "Ziel": "Gasse 4"},
    ]


def test_utf_16(sample: Callable[[str], bytes]) -> None:
    found = read(sample("orders_utf16.csv"), LIMITS, CsvOptions(delimiter="\t", encoding="utf-16"))
    assert [row["load"] for row in found] == ["Käfig", "T-2"]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends(newline: str) -> None:
    data = newline.join(["a,b", "1,2", "", "3,4", ""]).encode()
    assert [(row["a"], row["@line"]) for row in rows(data)] == [("1", 2), ("3", 4)]


def test_names_for_a_file_without_a_header() -> None:
    assert rows(b"1,2\n", columns=("x", "y")) == [{"@line": 1, "x": "1", "y": "2"}]


def test_a_header_alone_has_no_rows() -> None:
    assert rows(b"a,b\n") == []


def test_another_quote() -> None:
    assert rows(b"a,b\n'x,''y',\"2\n", quote="'") == [{"@line": 2, "a": "x,'y", "b": '"2'}]


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (b"", {}, "line 1: the file is empty"),
        (b"\n\n", {}, "line 2: only empty lines"),
        (b"a,b,a\n", {}, "line 1: column 'a' comes twice"),
        (b"a,,b\n", {}, "line 1: column 2 has no name"),
        (b"@line,b\n", {}, "line 1: column '@line' begins with @"),
        (b"a,b\n", {"required": ("order", "b")}, "line 1: no column 'order'; there are 'a', 'b'"),
        (b"a,b\n1,2\n3\n", {}, "line 3: 1 cells, the header has 2"),
        (b'a,b\n"1\n1",2\n3,4,5\n', {}, "line 4: 3 cells, the header has 2"),
        (b"a,b\n1,2\n3,\x004\n", {}, "line 3: holds a NUL byte"),
        (b'a,b\n1,2\n"3,4\n5,6\n', {}, 'line 3: a quote " that never closes'),
        (b'a,b\n1,"2"x\n', {}, "line 2: ',' expected after"),
        (b"a,b\n1,2\n3,4", {}, "line 3: ends without a newline: it may be half written"),
        (b"a,b\n1," + b"x" * 100 + b"\n", {"line_length_max": 50}, "line 2: longer than 50 characters"),
        (b'a,b\n1,"' + b"x\n" * 100, {"line_length_max": 50}, "line 25: longer than 50 characters"),
        (b'a\n1\n"' + b"x" * 200_000 + b'"\n', {"line_length_max": 300_000}, "line 3: field larger than"),
        (b"a\n1\n2\n3\n", {"rows_max": 2}, "line 4: more than 2 rows"),
        ("a,b\nx,2\nä,3\n".encode("latin-1"), {}, "line 3: 0xe4 at character 1 is not utf-8-sig"),
        (b"a,b\n1,\x81\n", {"encoding": "cp1252"}, "line 2: 0x81 at character 3 is not cp1252"),
        ("a,b\n1,2\n".encode("utf-16"), {}, "line 1: holds a NUL byte|line 1: 0xff"),
        ("a,b\n1,2\n".encode("utf-16-le"), {"encoding": "utf-16"}, "line 1: what has no byte order mark"),
        ("a,b\n1,2".encode("utf-16")[:-1], {"encoding": "utf-16", "newline_at_end": False}, "line 2: 0x32"),
        (b"a,b\n1,2\n", {"end_mark": "END"}, "line 2: no end mark 'END': the file may be half written"),
        (b"a,b\nEND,\n1,2\n", {"end_mark": "END"}, "line 3: a row after the end mark"),
        (",".join(f"c{n}" for n in range(1001)).encode() + b"\n", {}, "line 1: 1001 columns, at most 1000"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_refusals_name_the_line(data: bytes, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        rows(data, **options)
    assert caught.value.way_on


def test_a_last_line_without_newline_where_it_is_allowed() -> None:
    assert rows(b"a,b\n1,2", newline_at_end=False) == [{"@line": 2, "a": "1", "b": "2"}]


def test_limits_of_a_message() -> None:
    with pytest.raises(Unreadable, match="more than 3 rows"):
        read(b"a\n1\n2\n3\n4\n", Limits(records_max=3))
    with pytest.raises(Unreadable, match="line 2, column 'a': 4 characters, at most 3"):
        read(b"a\nabcd\n", Limits(text_length_max=3))
    with pytest.raises(Unreadable, match="message: 6 bytes, at most 5"):
        read(b"a\n1\n2\n", Limits(bytes_max=5))


@pytest.mark.parametrize(
    "wrong",
    [
        {"delimiter": ";;"},
        {"delimiter": "\n"},
        {"quote": ""},
        {"quote": ","},
        {"encoding": "ebcdic"},
        {"columns": ("a", "a")},
        {"columns": ("a",), "required": ("b",)},
        {"line_length_max": 0},
    ],
)
def test_options_that_can_not_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="CSV"):
        CsvOptions(**wrong)


class Endless(io.RawIOBase):
    """A stream of `count` rows that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._waiting = b"order,load\n"
        self.handed_out = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while len(self._waiting) < len(buffer) and self._left:
            block = min(self._left, 1_000)
            self._left -= block
            self._waiting += b"O-12345,T-12345\n" * block
        part, self._waiting = self._waiting[: len(buffer)], self._waiting[len(buffer) :]
        buffer[: len(part)] = part
        self.handed_out += len(part)
        return len(part)


def test_a_long_file_is_read_as_it_is_used() -> None:
    """What was taken from the stream is never far ahead of what was handed on: memory stays flat."""
    stream = Endless(200_000)
    taken = 0
    for part in read_slices(stream, CsvOptions(), 500):  # type: ignore[arg-type]
        assert len(part) == 500
        taken += len(part) * 16
        assert stream.handed_out - taken < 64 * 1024
    assert taken == 200_000 * 16
    assert not stream.closed


def test_whoever_has_enough_may_close_the_file(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_bytes(b"a\n1\n2\n3\n")
    with path.open("rb") as file:
        parts = read_slices(file, CsvOptions(), 1)
        assert next(parts)[0]["a"] == "1"
    parts.close()  # type: ignore[attr-defined]
    with path.open("rb") as file:
        assert len(list(read_slices(file, CsvOptions(), 1))) == 3
        assert not file.closed


def test_slices_before_the_fault_are_right() -> None:
    parts = read_slices(io.BytesIO(b"a\n1\n2\n3\n4,5\n"), CsvOptions(), 2)
    assert [row["a"] for row in next(parts)] == ["1", "2"]
    with pytest.raises(Unreadable, match="line 5"):
        next(parts)
