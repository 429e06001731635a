"""Is everything in a journal what was written? The whole chain, every snapshot, what was drawn, the structure."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import apsw

from gateway.shell.journal import chain, schema, snapshots, witness
from gateway.shell.journal.errors import JournalError
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.scan import Scan, base_of, scan
from gateway.shell.journal.snapshots import Snapshot
from gateway.shell.journal.witness import Witness

STRUCTURE_PROBLEMS_MAX = 20
_HEADS = "SELECT seq, digest, (SELECT max(seq) FROM inputs) FROM anchors WHERE name = 'head'"
_NOTED = ("SELECT max(seq) FROM anchors", "SELECT max(seq) FROM inputs")
_DIGEST = "SELECT digest FROM inputs WHERE seq = ?"


@dataclass(frozen=True)
class Kept:
    """A snapshot in the file: after which input, when, in which format, how long. `problem` "" where it is sound."""

    seq: int
    at_ns: int
    state_format: int
    state_bytes: int
    input_digest: bytes | None
    problem: str


@dataclass
class Verdict:
    """What was found. `problems` is empty where all is well; `witness_problem` is the one of them that is about the
    file beside it."""

    path: Path
    layout: int
    site_id: str
    file_bytes: int
    base_seq: int = 0
    known_seq: int = 0
    """The newest input that is known to have been there."""
    scan: Scan = field(default_factory=Scan)
    snapshots: list[Kept] = field(default_factory=list)
    drawn: int = 0
    witness_problem: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not self.problems

    @property
    def end_seq(self) -> int:
        """The newest input that can be read."""
        return self.scan.last[0] if self.scan.last else self.base_seq

    @property
    def end_at_ns(self) -> int:
        """Its time, or that of the snapshot that stands for it."""
        if self.scan.last:
            return self.scan.last[1]
        return next((kept.at_ns for kept in self.snapshots if kept.seq == self.base_seq), 0)

    def replays(self) -> dict[int, int]:
        """Where a replay can begin (after that input) → the last input that it comes to."""
        sound = {kept.seq for kept in self.snapshots if not kept.problem}
        return {seq: end for seq, end in self.scan.ends.items() if seq in sound or seq == self.base_seq == 0}


def verify(path: Path, site_id: str = "") -> Verdict:
    """Look at all of it, beside a running gateway if need be. `site_id`: whose it is, where the file can't say it.

    Raises JournalError for a file that is no journal or can't be opened; what is wrong with one is in the verdict.
    """
    with Reader(path, tolerant=True, site_id=site_id) as reader:
        look = _Look(reader)
        for part in (look.structure, look.snapshots, look.inputs, look.head, look.drawn, look.witness):
            try:
                part()
            except (apsw.Error, JournalError) as error:
                look.verdict.problems.append(f"its {part.__name__} can't be read ({error})")
        return look.verdict


class _Look:
    """The parts of a verification, in their order. Any of them may raise for what it can't read."""

    def __init__(self, reader: Reader) -> None:
        self.verdict = Verdict(reader.path, reader.layout, reader.site_id, reader.path.stat().st_size)
        self._reader = reader
        self._connection = reader.connection
        self._problems = self.verdict.problems

    def structure(self) -> None:
        for (text,) in schema.rows(self._connection, f"PRAGMA integrity_check({STRUCTURE_PROBLEMS_MAX})"):
            if text != "ok":
                self._problems.append(f"structure: {text}")

    def snapshots(self) -> None:
        for seq in snapshots.numbers(self._connection):
            try:
                found = snapshots.at(self._connection, self._reader.layout, seq)
            except apsw.Error as error:
                self._problems.append(f"snapshot after input {seq}: can't be read ({error})")
                continue
            if found is None:
                # Retention of a running gateway has let it go meanwhile.
                continue
            problem = self._problem_of(found)
            kept = Kept(seq, found.at_ns, found.state_format, len(found.state), found.input_digest, problem)
            self.verdict.snapshots.append(kept)
            if problem:
                self._problems.append(f"snapshot after input {seq}: {problem}")

    def _problem_of(self, found: Snapshot) -> str:
        if not found.is_sound(self._reader.genesis):
            return "is not what was written"
        if found.input_digest is None:
            return ""
        there = schema.rows(self._connection, _DIGEST, (found.seq,))
        return "is of another history" if there and there[0][0] != found.input_digest else ""

    def inputs(self) -> None:
        verdict = self.verdict
        verdict.base_seq, base_digest = base_of(self._reader)
        begins = {k.seq: k.input_digest for k in verdict.snapshots if not k.problem and k.seq >= verdict.base_seq}
        if verdict.base_seq and not begins:
            self._problems.append(f"no snapshot to begin with: the inputs up to {verdict.base_seq} are no longer there")
        if verdict.base_seq == 0 and base_digest != self._reader.genesis:
            self._problems.append(f"input 1: its chain does not begin as one of site {verdict.site_id!r} does")
            base_digest = self._reader.genesis
        before = schema.rows(self._connection, "SELECT count(*) FROM inputs WHERE seq <= ?", (verdict.base_seq,))[0][0]
        if before:
            self._problems.append(f"{before} inputs stand before input {verdict.base_seq + 1}, with which it begins")
        begins[verdict.base_seq] = base_digest
        verdict.known_seq = max(self._noted(), *begins)
        verdict.scan = found = scan(self._reader, begins, verdict.known_seq)
        self._problems += [str(damage) for damage in found.damages]
        if found.damage_count > len(found.damages):
            self._problems.append(f"and {found.damage_count - len(found.damages)} places more")

    def _noted(self) -> int:
        """The newest input that is written down somewhere in the file."""
        for statement in _NOTED if self._reader.layout > 1 else _NOTED[1:]:
            try:
                if known := schema.rows(self._connection, statement)[0][0]:
                    return int(known)
            except apsw.Error:
                # Told by the part that reads it in earnest.
                continue
        return 0

    def head(self) -> None:
        if self._reader.layout == 1:
            return
        found = schema.rows(self._connection, _HEADS)
        if not found:
            self._problems.append("its anchors are missing")
            return
        seq, digest, newest = found[0]
        if newest is not None and newest > seq:
            self._problems.append(f"inputs {seq + 1} to {newest}: somebody else has put them in")
        there = schema.rows(self._connection, _DIGEST, (seq,))
        if there and there[0][0] != digest:
            self._problems.append(f"input {seq}: its digest is not the one that was noted when it was stored")

    def drawn(self) -> None:
        before = 0
        for first_seq, last_seq, digest in self._reader.read_drawn(0):
            self.verdict.drawn += 1
            if not before < first_seq <= last_seq or len(digest) != chain.DIGEST_BYTES:
                self._problems.append(f"drawn by inputs {first_seq} to {last_seq}: is not what was written")
            before = last_seq
        if before > self.verdict.known_seq and before > self._reader.last_seq:
            self._problems.append(f"drawn by inputs up to {before}: there are no such inputs")

    def witness(self) -> None:
        verdict, last_seq = self.verdict, self._reader.last_seq
        name = witness.place(verdict.path).name
        try:
            seen = witness.read(verdict.path)
        except (OSError, ValueError) as error:
            verdict.witness_problem = f"{name}: can't be read ({error})"
        else:
            verdict.witness_problem = self._older_than(seen, last_seq, name) if seen is not None else ""
        if verdict.witness_problem:
            self._problems.append(verdict.witness_problem)

    def _older_than(self, seen: Witness, last_seq: int, name: str) -> str:
        self.verdict.known_seq = max(self.verdict.known_seq, seen.seq)
        if seen.seq > last_seq:
            return f"an older copy: it ends with input {last_seq}, {name} has seen {seen.seq}"
        there = schema.rows(self._connection, _DIGEST, (seen.seq,))
        if there and there[0][0].hex() != seen.digest:
            return f"another copy: its input {seen.seq} is not the one that {name} has seen"
        return ""
