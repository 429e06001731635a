"""Records from CSV (RFC 4180 and what hosts make of it): one record a row, the header's names as keys, text as values.

`read` takes a whole message, `read_slices` a stream of any length in flat memory. A file carries no mark of its end, so
a half-written one is told by a missing last newline, and surely only by `end_mark`.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from gateway.contract import Struct
from gateway.host.formats.record import Limits, Record, Unreadable, check_size

LINE_KEY = "@line"
"""Where a record says on which line it began. A column of this name is refused."""
ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16")
MARKED = "csv_rows.marked"
"""The error handler that lets the line be named in which a byte is wrong."""
MARK = 0xDC00
COLUMNS_MAX = 1_000


class CsvOptions(Struct, frozen=True):
    """How a host writes its CSV. Raises ValueError for what can't be."""

    delimiter: str = ","
    quote: str = '"'
    encoding: str = "utf-8-sig"
    """One of ENCODINGS. utf-8-sig reads UTF-8 with and without a byte order mark."""
    columns: tuple[str, ...] = ()
    """The names where the file has no header line; empty = the first line is the header."""
    required: tuple[str, ...] = ()
    """Columns that must be there; others may."""
    line_length_max: int = 65_536
    """Characters of one line, and of one record where quoted text has newlines."""
    rows_max: int = 10_000_000
    newline_at_end: bool = True
    """Refuse a last line without a newline: it may be half written."""
    end_mark: str = ""
    """The first cell of the last line, such as "END"; refused where it is missing or not last. "" = no such line."""

    def __post_init__(self) -> None:
        for name, mark in (("delimiter", self.delimiter), ("quote", self.quote)):
            if len(mark) != 1 or mark in "\r\n\0" or mark == "\ufeff":
                raise ValueError(f"CSV {name} {mark!r}: one character that is no newline")
        if self.delimiter == self.quote:
            raise ValueError(f"CSV delimiter and quote are both {self.quote!r}: choose two")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"CSV encoding {self.encoding!r}: one of {', '.join(ENCODINGS)}")
        if self.line_length_max < 1 or self.rows_max < 1:
            raise ValueError("CSV line_length_max and rows_max: at least 1")
        if self.columns:
            try:
                _check_header(list(self.columns), self, 0)
            except Unreadable as problem:
                raise ValueError(f"CSV columns: {problem}") from None


def read(data: bytes, limits: Limits, options: CsvOptions | None = None) -> list[Record]:
    """All rows of one message, within the limits of one message."""
    check_size(data, limits)
    found: list[Record] = []
    for rows in read_slices(io.BytesIO(data), options or CsvOptions(), 1_000):
        found.extend(rows)
        if len(found) > limits.records_max:
            raise Unreadable(f"line {found[-1][LINE_KEY]}", f"more than {limits.records_max} rows", "split the file")
        for row in rows:
            _check_row(row, limits)
    return found


def read_slices(stream: BinaryIO, options: CsvOptions, rows_per_slice: int) -> Iterator[list[Record]]:
    """Slices of at most `rows_per_slice` records, in order; memory holds one slice and one line.

    Raises Unreadable with the line number when it comes to what can't be read: slices before it were right. What must
    be taken whole or not at all is read twice: once to see that it ends well.
    """
    if rows_per_slice < 1:
        raise ValueError(f"{rows_per_slice} rows a slice: at least 1")
    lines = _Lines(stream, options)
    try:
        yield from _slices(lines, options, rows_per_slice)
    finally:
        lines.leave()


def _slices(lines: _Lines, options: CsvOptions, rows_per_slice: int) -> Iterator[list[Record]]:
    names = list(options.columns)
    rows: list[Record] = []
    count, ended = 0, False
    for began, cells in lines.rows():
        if not cells or cells == [""]:
            continue
        if ended:
            raise Unreadable(f"line {began}", f"a row after the end mark {options.end_mark!r}", "send one file at once")
        if not names:
            _check_header(cells, options, began)
            names = cells
            continue
        if options.end_mark and cells[0] == options.end_mark:
            ended = True
            continue
        if len(cells) != len(names):
            problem = f"{len(cells)} cells, the header has {len(names)}"
            raise Unreadable(f"line {began}", problem, f"write {len(names)} cells, quoted where they hold a delimiter")
        count += 1
        if count > options.rows_max:
            raise Unreadable(f"line {began}", f"more than {options.rows_max} rows", "split the file")
        row: Record = {LINE_KEY: began}
        row.update(zip(names, cells, strict=True))
        rows.append(row)
        if len(rows) == rows_per_slice:
            yield rows
            rows = []
    if not lines.number:
        raise Unreadable("line 1", "the file is empty", "send at least a header")
    if not names:
        raise Unreadable(f"line {lines.number}", "only empty lines", "send at least a header")
    if options.end_mark and not ended:
        problem = f"no end mark {options.end_mark!r}: the file may be half written"
        raise Unreadable(f"line {lines.number}", problem, "send it again, whole")
    if rows:
        yield rows


class _Lines:
    """Lines of a stream, decoded and bounded, and rows made of them. `number` is the line that was read last."""

    def __init__(self, stream: BinaryIO, options: CsvOptions) -> None:
        self._options = options
        # newline="" hands newlines on as they are: the csv module wants to see them.
        self._text = io.TextIOWrapper(
            stream,
            encoding=options.encoding,
            errors=MARKED,
            newline="",
        )
        self._length = 0
        self.number = 0

    def leave(self) -> None:
        """Leave the stream open: it is its owner's to close."""
        with suppress(ValueError):  # who has closed it already
            self._text.detach()

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        options = self._options
        reader = csv.reader(
            self._lines(), delimiter=options.delimiter, quotechar=options.quote, doublequote=True, strict=True
        )
        while True:
            began = self.number + 1
            self._length = 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise self._problem(began, error) from None
            yield began, cells

    def _problem(self, began: int, error: csv.Error) -> Unreadable:
        quote = self._options.quote
        if "unexpected end of data" in str(error):
            return Unreadable(f"line {began}", f"a quote {quote} that never closes", f"close it; {quote}{quote} is one")
        return Unreadable(f"line {self.number}", str(error), f"quote cells with {quote} and double it inside")

    def _lines(self) -> Iterator[str]:
        limit = self._options.line_length_max
        while True:
            try:
                line = self._text.readline(limit + 1)
            except UnicodeError:
                raise self._undecodable(self.number + 1, "what has no byte order mark") from None
            if not line:
                return
            self.number += 1
            self._length += len(line)
            if self._length > limit:
                problem = f"longer than {limit} characters"
                raise Unreadable(f"line {self.number}", problem, "is a quote left open? Else write shorter lines")
            if "\0" in line:
                raise Unreadable(f"line {self.number}", "holds a NUL byte", "write text; for UTF-16 set the encoding")
            if self._options.newline_at_end and not line.endswith(("\n", "\r")):
                problem = "ends without a newline: it may be half written"
                raise Unreadable(f"line {self.number}", problem, "end the last line with a newline")
            if not line.isascii():
                self._check_marks(line)
            yield line

    def _check_marks(self, line: str) -> None:
        try:
            line.encode()
        except UnicodeEncodeError as error:
            found = f"0x{ord(line[error.start]) - MARK:02x} at character {error.start + 1}"
            raise self._undecodable(self.number, found) from None

    def _undecodable(self, line: int, found: str) -> Unreadable:
        encoding = self._options.encoding
        way_on = f"write {encoding} or set the channel's encoding"
        return Unreadable(f"line {line}", f"{found} is not {encoding}", way_on)


def _marked(error: UnicodeError) -> tuple[str, int]:
    """A wrong byte as half a surrogate pair, which no right text holds."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return chr(MARK + error.object[error.start]), error.start + 1


codecs.register_error(MARKED, _marked)


def _check_header(names: list[str], options: CsvOptions, line: int) -> None:
    place = f"line {line}"
    if len(names) > COLUMNS_MAX:
        raise Unreadable(place, f"{len(names)} columns, at most {COLUMNS_MAX}", "send fewer")
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        if not name.strip():
            raise Unreadable(place, f"column {position} has no name", "name every column")
        if name.startswith("@"):
            raise Unreadable(place, f"column {name!r} begins with @", "that is kept for the line number: rename it")
        if name in seen:
            raise Unreadable(place, f"column {name!r} comes twice", "name every column once")
        seen.add(name)
    missing = [name for name in options.required if name not in seen]
    if missing:
        problem = f"no column {', '.join(map(repr, missing))}; there are {', '.join(map(repr, names))[:300]}"
        raise Unreadable(place, problem, "write the header with these names")


def _check_row(row: Record, limits: Limits) -> None:
    for name, value in row.items():
        if isinstance(value, str) and len(value) > limits.text_length_max:
            problem = f"{len(value)} characters, at most {limits.text_length_max}"
            raise Unreadable(f"line {row[LINE_KEY]}, column {name!r}", problem, "send shorter text")
