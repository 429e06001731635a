"""One pass over all inputs, also over those of a damaged file: what is there, what is sound, what hangs together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import apsw

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalError
from gateway.shell.journal.reader import READ_ROWS_MAX, Reader

DAMAGES_LISTED_MAX = 50
_ROWS = "SELECT seq, at_ns, body, digest FROM inputs WHERE seq >= ? ORDER BY seq LIMIT ?"
_NEXT = "SELECT seq FROM inputs WHERE seq >= ? ORDER BY seq LIMIT 1"
_UNREADABLE = object()
Row = tuple[int, int, bytes, bytes]
"""seq, at_ns, body, digest"""


class Damage(NamedTuple):
    """Inputs that are not what was written."""

    first_seq: int
    last_seq: int
    problem: str

    def __str__(self) -> str:
        several = self.last_seq > self.first_seq
        where = f"inputs {self.first_seq} to {self.last_seq}" if several else f"input {self.first_seq}"
        return f"{where}: {self.problem}"


@dataclass
class Scan:
    """`ends`: for each place where a replay can begin (after that input) the last input of the unbroken chain from
    there. `damages` lists the first ones of `damage_count`."""

    inputs: int = 0
    body_bytes: int = 0
    first: tuple[int, int] | None = None
    last: tuple[int, int] | None = None
    """Number and time of the oldest and of the newest input that can be read."""
    ends: dict[int, int] = field(default_factory=dict)
    damages: list[Damage] = field(default_factory=list)
    damage_count: int = 0


def base_of(reader: Reader) -> tuple[int, bytes]:
    """Where the inputs begin; where the file can't say it, at the site's genesis."""
    try:
        return reader.base
    except JournalError:
        return 0, reader.genesis


def scan(reader: Reader, begins: Mapping[int, bytes | None], known_seq: int) -> Scan:
    """Go through all inputs. `begins`: after which input a replay can begin → the digest that the next one hangs on,
    None where that has to be taken from the input itself. `known_seq`: an input that is known to have been there."""
    return _Pass(reader, begins, known_seq).run()


class _Pass:
    def __init__(self, reader: Reader, begins: Mapping[int, bytes | None], known_seq: int) -> None:
        self._reader = reader
        self._begins = begins
        self._known_seq = known_seq
        self._found = Scan(ends={seq: seq for seq in begins})
        self._alive: list[int] = []
        """Where unbroken chains that have come up to here began."""
        self._hook: bytes | None = None
        """What the next input's digest has to be worked out from; None: nobody knows."""
        self._excused = False
        """It is no damage that nobody knows."""

    def run(self) -> Scan:
        expected = min(self._begins, default=0) + 1
        self._join(expected - 1, None)
        for item in _rows(self._reader, expected, self._known_seq):
            if isinstance(item, Damage):
                expected = self._break(expected, item.last_seq, item.problem)
                continue
            seq, at_ns, body, digest = item
            if seq > expected:
                expected = self._break(expected, seq - 1, "missing")
            self._look(seq, at_ns, body, digest)
            expected = seq + 1
        if expected <= self._known_seq:
            self._break(expected, self._known_seq, "missing, the end was cut off")
        return self._found

    def _look(self, seq: int, at_ns: int, body: bytes, digest: bytes) -> None:
        found = self._found
        found.inputs += 1
        found.body_bytes += len(body)
        found.first = found.first or (seq, at_ns)
        found.last = (seq, at_ns)
        if self._hook is None:
            self._alive = []
            if not self._excused:
                self._note(seq, seq, "what it hangs on is missing, so nobody can tell whether it is what was written")
        elif chain.link(self._hook, seq, at_ns, body) != digest:
            self._note(seq, seq, "its digest does not match")
            self._alive = []
        self._hook, self._excused = digest, False
        for begin in self._alive:
            found.ends[begin] = seq
        self._join(seq, digest)

    def _join(self, seq: int, digest: bytes | None) -> None:
        """A replay can begin after input `seq`, whose own digest is `digest` as far as it is there."""
        if seq in self._begins:
            wanted = self._begins[seq]
            if wanted is not None and digest is not None and wanted != digest:
                return
            self._hook = wanted if wanted is not None else digest
            self._alive.append(seq)

    def _break(self, first_seq: int, last_seq: int, problem: str) -> int:
        """Nothing of `first_seq` to `last_seq` is there; returns the number that is expected next."""
        base_seq, base_digest = base_of(self._reader)
        self._alive = []
        # A running gateway may have made room meanwhile: what was before its base is gone, and rightly so.
        self._excused = base_seq >= last_seq
        self._hook = base_digest if base_seq == last_seq else None
        if max(first_seq, base_seq + 1) <= last_seq:
            self._note(max(first_seq, base_seq + 1), last_seq, problem)
        self._join(last_seq, None)
        return last_seq + 1

    def _note(self, first_seq: int, last_seq: int, problem: str) -> None:
        found = self._found
        found.damage_count += 1
        if found.damages and found.damages[-1][1:] == (first_seq - 1, problem):
            found.damages[-1] = Damage(found.damages[-1].first_seq, last_seq, problem)
        elif len(found.damages) < DAMAGES_LISTED_MAX:
            found.damages.append(Damage(first_seq, last_seq, problem))


def _rows(reader: Reader, seq: int, known_seq: int) -> Iterator[Row | Damage]:
    """Every input from `seq` on that can be read, and between them what the file can't give."""
    while True:
        count = 0
        try:
            # Row by row: those before a page that can't be read are given, too.
            for row in cast(Iterator[Row], reader.connection.execute(_ROWS, (seq, READ_ROWS_MAX))):
                if row[0] < seq or not isinstance(row[2], bytes) or not isinstance(row[3], bytes):
                    raise apsw.CorruptError("another row than the one that was asked for")
                yield row
                seq, count = row[0] + 1, count + 1
        except apsw.Error as error:
            resumed = _next_readable(reader, seq + 1, known_seq)
            last_seq = max(known_seq, seq) if resumed is None else resumed - 1
            yield Damage(seq, last_seq, f"can't be read ({error})")
            if resumed is None:
                return
            seq = resumed
            continue
        if count < READ_ROWS_MAX:
            return


def _next_readable(reader: Reader, seq: int, known_seq: int) -> int | None:
    """The next input from `seq` on that can be had: in growing strides beyond the damage, then back to its edge."""
    probe, stride, failed = seq, 1, seq - 1
    while (found := _probe(reader, probe)) is _UNREADABLE:
        if probe > known_seq:
            return None
        failed, probe, stride = probe, probe + stride, 2 * stride
    low = failed + 1
    while low < probe:
        middle = (low + probe) // 2
        nearer = _probe(reader, middle)
        if nearer is _UNREADABLE:
            low = middle + 1
        else:
            probe, found = middle, nearer
    return cast(int | None, found)


def _probe(reader: Reader, seq: int) -> object:
    """The number of the first input from `seq` on, None where there is none."""
    try:
        found = reader.connection.execute(_NEXT, (seq,)).fetchall()
    except apsw.Error:
        return _UNREADABLE
    if not found:
        return None
    return found[0][0] if cast(int, found[0][0]) >= seq else _UNREADABLE
