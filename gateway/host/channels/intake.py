"""From a message's bytes to requests: a format and a mapping, or our own envelopes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from itertools import count, islice
from typing import BinaryIO

import msgspec

from gateway.contract import Request, Struct
from gateway.host.channels.mapping import ID_LENGTH_MAX, Mapping, Unmapped
from gateway.host.formats import READERS, Limits, Record, Unreadable
from gateway.host.formats.csv_rows import LINE_KEY, CsvOptions
from gateway.host.formats.csv_rows import read as read_csv
from gateway.host.formats.csv_rows import read_slices as read_csv_slices
from gateway.host.formats.json_records import read as read_json
from gateway.site import ChannelSpec

DIGEST_BYTES = 12
ROWS_PER_SLICE = 500


class Envelope(Struct, frozen=True):
    """One of our own requests, as the format `request` has it."""

    request_id: str
    request: Request


class Piece(Struct, frozen=True):
    """One request of a message, or why a record gives none. `place`: "line 7", "record 3"."""

    place: str
    request_id: str
    request: Request | None
    problem: str = ""


Read = Callable[[bytes], list[Record]]
_decoder: msgspec.json.Decoder[Envelope | list[Envelope]] = msgspec.json.Decoder(Envelope | list[Envelope])


def envelopes(data: bytes, count_max: int) -> list[Envelope]:
    """Our own requests, strictly: one that is wrong, and none counts. Raises ValueError with the reason."""
    try:
        found = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a request: {error}") from None
    given = found if isinstance(found, list) else [found]
    if not all(0 < len(e.request_id) <= ID_LENGTH_MAX for e in given):
        raise ValueError(f"a request_id must have 1 to {ID_LENGTH_MAX} characters and be its host's own for ever")
    if len(given) > count_max:
        raise ValueError(f"{len(given)} requests in one file, at most {count_max}: split it")
    return given


def digest(data: bytes) -> str:
    """What a message's content is called: the same bytes, the same word."""
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


class Intake:
    """Raises ValueError where the mapping names a time zone that this machine does not know."""

    def __init__(self, spec: ChannelSpec, site_zone: str, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._mapping = Mapping(spec.mapping, site_zone) if spec.mapping is not None else None
        self._csv = _csv_options(spec) if spec.format == "csv" else None
        self._read = self._reader(spec)
        self.fingerprint = digest(spec.model_dump_json(include={"format", "csv", "json_", "mapping"}).encode())
        """Of how messages are read: with another one the same content may mean something else."""

    @property
    def in_slices(self) -> bool:
        """A message may be longer than memory: read it by `slices`."""
        return self._csv is not None

    def whole(self, data: bytes, source: str, identity: str = "") -> list[Piece]:
        """All requests of a message. Raises Unreadable, and then nothing of it counts.

        `identity`: what its request ids are made of where the mapping does not say; "" = its content.
        """
        if self._mapping is None:
            if len(data) > self._limits.bytes_max:
                raise Unreadable("message", f"{len(data)} bytes, at most {self._limits.bytes_max}", "split it")
            try:
                given = envelopes(data, self._limits.records_max)
            except ValueError as error:
                raise Unreadable("message", str(error), "see the format `request` in docs/channels.md") from None
            return [Piece(f"request {n}", e.request_id, e.request) for n, e in enumerate(given, 1)]
        records = self._read(data)
        return list(self._pieces(records, self._mapping, source, identity or digest(data)))

    def slices(self, stream: BinaryIO, source: str, identity: str) -> Iterator[list[Piece]]:
        """The requests of a CSV file in slices, memory flat. Raises Unreadable at the line that can't be read."""
        assert self._csv is not None, "only CSV is read in slices"
        assert self._mapping is not None, "the site's check asks for one"
        rows = (row for rows in read_csv_slices(stream, self._csv, ROWS_PER_SLICE) for row in rows)
        pieces = self._pieces(rows, self._mapping, source, identity)
        while part := list(islice(pieces, ROWS_PER_SLICE)):
            yield part

    def check(self, stream: BinaryIO) -> None:
        """Read a CSV file to its end without doing anything. Raises Unreadable."""
        assert self._csv is not None, "only CSV is read in slices"
        for _ in read_csv_slices(stream, self._csv, ROWS_PER_SLICE):
            pass

    def _pieces(
        self, records: Iterator[Record] | list[Record], mapping: Mapping, source: str, identity: str
    ) -> Iterator[Piece]:
        numbers = count(1)
        for record in mapping.grouped(records):
            number = next(numbers)
            line = record.get(LINE_KEY)
            place = f"line {line}" if line is not None else f"record {number}"
            own = identity if number == 1 else f"{identity}-{number}"
            try:
                for request_id, request in mapping.requests(record, own, source):
                    yield Piece(place, request_id, request)
            except Unmapped as problem:
                yield Piece(place, "", None, str(problem))

    def _reader(self, spec: ChannelSpec) -> Read:
        limits = self._limits
        if self._csv is not None:
            return partial(read_csv, limits=limits, options=self._csv)
        if spec.format == "json":
            return partial(read_json, limits=limits, path=spec.json_.path if spec.json_ is not None else "")
        if spec.format in READERS:
            read = READERS[spec.format]
            return lambda data: read(data, limits)
        return _none


def _none(data: bytes) -> list[Record]:
    raise AssertionError(f"no reader for {len(data)} bytes: the format `request` has none")


def _csv_options(spec: ChannelSpec) -> CsvOptions:
    if spec.csv is None:
        return CsvOptions()
    return CsvOptions(**spec.csv.model_dump())
