"""A folder of files in a host's own format: CSV, JSON, EDI, orders of shops.

A file is taken when it is complete, is read to its end before anything of it is carried out, and moves to `done/` when
all its requests are durable; `<name>.reply.jsonl` beside it has a line for each request and a last one with the count.
What can't be read goes to `failed/` with the reason, and nothing of it is carried out. A record that the mapping does
not fit, or a request that is refused, is told in the reply; the others are carried out.

How far a file has come is noted, so that a restart goes on there, and content that was taken is known again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.host.channels.acknowledge import Acknowledging
from gateway.host.channels.asking import Asking, Outcome
from gateway.host.channels.book import Book, FileState
from gateway.host.channels.intake import DIGEST_BYTES, ROWS_PER_SLICE, Intake, Piece
from gateway.host.channels.tray import Tray, put
from gateway.host.formats import Unreadable
from gateway.site.channels import FolderSpec

POLL_S = 0.2
BLOCK_BYTES = 1 << 20
HOUR_NS = 3_600 * 10**9
SUMMARY_BYTES_MAX = 4_096
_encode = msgspec.json.Encoder().encode


class FileProblem(Exception):
    """A file that is refused; the text says why."""


class RecordsChannel:
    """Watches one folder for one client."""

    def __init__(
        self,
        intake: Intake,
        tray: Tray,
        asking: Asking,
        book: Book,
        spec: FolderSpec,
        bytes_max: int,
        log: Log,
        acknowledging: Acknowledging | None = None,
    ) -> None:
        self.client = asking.client
        self._intake = intake
        self._tray = tray
        self._asking = asking
        self._book = book
        self._only_refused = spec.reply == "refused"
        self._remember_ns = spec.remember_hours * HOUR_NS
        self._bytes_max = bytes_max
        self._log = log
        self._acknowledging = acknowledging

    async def run(self) -> None:
        """Take in what appears, oldest name first, for ever. The disk is only touched in worker threads."""
        while True:
            for path in await asyncio.to_thread(self._tray.waiting):
                await self._take(path)
            await asyncio.sleep(POLL_S)

    async def _take(self, path: Path) -> None:
        try:
            stream = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError:
            return  # taken away by whoever put it there
        except OSError as error:
            await asyncio.to_thread(self._tray.refuse, path, f"can't be opened: {error}")
            return
        try:
            digest, pieces = await asyncio.to_thread(self._inspect, stream, path.name)
            # Where the mapping has been mended the same content is another matter; its request ids are as before.
            state = await self._begin(f"{digest}-{self._intake.fingerprint}", path.name)
            if not state.finished:
                before = _stamp(stream)
                state = await self._carry_out(self._slices(stream, path.name, digest, pieces), state)
                if _stamp(stream) != before:
                    raise FileProblem(await self._abandon(state, "it was written to"))
            await self._acknowledge(stream, path, "done", None)
            await self._finish(path, state)
        except Unreadable as problem:
            await self._acknowledge(stream, path, "failed", problem)
            await asyncio.to_thread(self._tray.refuse, path, str(problem))
        except FileProblem as problem:
            await asyncio.to_thread(self._tray.refuse, path, str(problem))
        finally:
            stream.close()

    async def _acknowledge(self, stream: BinaryIO, path: Path, folder: str, problem: Unreadable | None) -> None:
        """Tell an EDI partner that the interchange was read, or why not; before the file moves, so that a crash in
        between tells it twice and not never."""
        if self._acknowledging is None:
            return
        number, at_ns = await self._book.next_number(), self._book.now_ns()

        def write(acknowledging: Acknowledging) -> None:
            stream.seek(0)
            data = stream.read(self._bytes_max)
            if problem is None:
                answer = acknowledging.taken(data, number, at_ns)
            else:
                answer = acknowledging.refused(data, problem, number, at_ns)
            if answer is not None:
                put(self._tray.folder / folder / f"{path.stem}.ack{path.suffix}", answer)

        await asyncio.to_thread(write, self._acknowledging)

    def _inspect(self, stream: BinaryIO, name: str) -> tuple[str, list[Piece] | None]:
        """The content's digest, and its pieces where it is not read in slices. Raises FileProblem, Unreadable."""
        size = os.fstat(stream.fileno()).st_size
        if size > self._bytes_max:
            raise FileProblem(f"{size} bytes, at most {self._bytes_max}: split it, or raise the channel's `bytes_max`")
        hashed = blake2b(digest_size=DIGEST_BYTES)
        if not self._intake.in_slices:
            data = stream.read(self._bytes_max + 1)
            hashed.update(data)
            return hashed.hexdigest(), self._intake.whole(data, name)
        while block := stream.read(BLOCK_BYTES):
            hashed.update(block)
        stream.seek(0)
        self._intake.check(stream)
        stream.seek(0)
        return hashed.hexdigest(), None

    async def _begin(self, digest: str, name: str) -> FileState:
        """Where to go on with this content; `finished` where it was carried out not long ago."""
        now_ns = self._book.now_ns()
        known = await self._book.file(digest)
        if known is None or (known.finished and now_ns - known.at_ns >= self._remember_ns):
            return FileState(digest, name, now_ns)
        if not known.finished:
            part = self._part(digest)
            size = await asyncio.to_thread(lambda: part.stat().st_size if part.exists() else 0)
            if size < known.reply_bytes:
                # Its answers are lost: all is asked again, with the same request ids.
                return FileState(digest, name, known.at_ns)
        return known

    async def _carry_out(self, slices: Iterator[list[Piece]], state: FileState) -> FileState:
        part = self._part(state.digest)
        await asyncio.to_thread(_cut, part, state.reply_bytes)
        await self._book.note(state)
        skip = state.pieces
        while True:
            try:
                piece_slice = await asyncio.to_thread(next, slices, None)
            except Unreadable as problem:  # it could be read a moment ago
                raise FileProblem(await self._abandon(state, str(problem))) from None
            if piece_slice is None:
                break
            if skip >= len(piece_slice):
                skip -= len(piece_slice)
                continue
            outcomes = await self._asking.ask_all(piece_slice[skip:])
            skip = 0
            accepted = sum(outcome.accepted for outcome in outcomes)
            told = [o for o in outcomes if not (self._only_refused and o.accepted)]
            size = await asyncio.to_thread(_append, part, told)
            state = msgspec.structs.replace(
                state,
                pieces=state.pieces + len(outcomes),
                accepted=state.accepted + accepted,
                refused=state.refused + len(outcomes) - accepted,
                reply_bytes=size,
            )
            await self._book.note(state)
        state = msgspec.structs.replace(state, finished=True, at_ns=self._book.now_ns())
        await self._book.note(state)
        return state

    async def _abandon(self, state: FileState, what: str) -> str:
        """What to say of a file that changed between its check and its end."""
        await self._book.note(msgspec.structs.replace(state, finished=False, pieces=0, reply_bytes=0))
        await asyncio.to_thread(self._part(state.digest).unlink, missing_ok=True)
        return (
            f"changed while it was read ({what}): {state.accepted} requests were carried out, {state.refused} refused. "
            "Write files under another name and rename them, then send it again: what was carried out is done once"
        )

    def _slices(self, stream: BinaryIO, name: str, digest: str, pieces: list[Piece] | None) -> Iterator[list[Piece]]:
        if pieces is None:
            return self._intake.slices(stream, name, digest)
        return (pieces[at : at + ROWS_PER_SLICE] for at in range(0, len(pieces), ROWS_PER_SLICE))

    async def _finish(self, path: Path, state: FileState) -> None:
        again = await asyncio.to_thread(self._answer, path, state)
        self._log.info(
            "file was taken before and is not carried out again" if again else "file taken",
            channel=self.client, file=path.name, accepted=state.accepted, refused=state.refused,
        )  # fmt: skip

    def _answer(self, path: Path, state: FileState) -> bool:
        """The reply, then the file to `done/`; True where the content was known and answers are given again."""
        part, reply = self._part(state.digest), self._reply(path.name)
        again = not part.exists()
        if not again:
            # A crash after the last answer may have left it with or without the summary.
            _cut(part, state.reply_bytes)
            self._write_summary(part, path.name, state, again=False)
            part.replace(reply)
        elif (earlier := self._reply(state.name)) and _is_reply_to(earlier, state.digest):
            if earlier != reply:
                shutil.copyfile(earlier, part)
                part.replace(reply)
        else:
            self._write_summary(part, path.name, state, again=True)
            part.replace(reply)
        self._tray.done(path)
        return again

    def _write_summary(self, part: Path, name: str, state: FileState, *, again: bool) -> None:
        at = datetime.fromtimestamp(state.at_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
        summary: dict[str, object] = {
            "file": name, "content": state.digest, "taken_at": at,
            "requests": state.pieces, "accepted": state.accepted, "refused": state.refused,
        }  # fmt: skip
        if again:
            summary["repeats"] = state.name
        with part.open("ab") as reply:
            reply.write(_encode(summary) + b"\n")
            reply.flush()
            os.fsync(reply.fileno())

    def _reply(self, name: str) -> Path:
        return self._tray.folder / "done" / f"{Path(name).stem}.reply.jsonl"

    def _part(self, digest: str) -> Path:
        return self._tray.folder / "done" / f".{digest}.reply.part"


def _stamp(stream: BinaryIO) -> tuple[int, int]:
    about = os.fstat(stream.fileno())
    return about.st_size, about.st_mtime_ns


def _cut(part: Path, size: int) -> None:
    """What was written after the last note is of requests that are asked again."""
    with part.open("ab") as reply:
        reply.truncate(size)


def _append(part: Path, outcomes: list[Outcome]) -> int:
    """The reply's new size."""
    with part.open("ab") as reply:
        reply.write(b"".join(_encode(outcome) + b"\n" for outcome in outcomes))
        reply.flush()
        os.fsync(reply.fileno())
        return reply.tell()


def _is_reply_to(reply: Path, digest: str) -> bool:
    """Whether the last line of a reply says that it is about this content."""
    try:
        with reply.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - SUMMARY_BYTES_MAX))
            last = file.read().splitlines()[-1:]
        summary = msgspec.json.decode(last[0]) if last else None
    except (OSError, msgspec.DecodeError):
        return False
    return isinstance(summary, dict) and summary.get("content") == digest
