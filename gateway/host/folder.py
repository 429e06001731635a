"""A channel made of a folder: hosts drop JSON files into it and find the answers beside them.

`<name>.json` holds one request or a list of them: `{"request_id": "…", "request": {"type": "create_order", …}}`.
Write it under another name (or with a leading dot) and rename it, so that it appears whole. When all its requests
are durable the file moves to `done/`, and `<name>.reply.json` beside it says per request whether it was accepted, and
if not, why. A file that is no such JSON goes to `failed/` with the reason; nothing of it is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Reply, Request, Struct

FILE_BYTES_MAX = 4 * 1024 * 1024
REQUESTS_MAX = 10_000
ID_LENGTH_MAX = 200
POLL_S = 0.1

Ask = Callable[[str, str, Request], Awaitable[Reply]]


class Envelope(Struct, frozen=True):
    """One request in a file."""

    request_id: str
    request: Request


class Answer(Struct, frozen=True):
    request_id: str
    accepted: bool
    reason: str


_decoder: msgspec.json.Decoder[Envelope | list[Envelope]] = msgspec.json.Decoder(Envelope | list[Envelope])


class FolderChannel:
    """Watches one folder for one client."""

    def __init__(self, client: str, folder: Path, ask: Ask, log: Log) -> None:
        self.client = client
        self._folder = folder
        self._ask = ask
        self._log = log
        for name in ("done", "failed"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    async def run(self) -> None:
        """Take in what appears, oldest name first, for ever. The disk is only touched in a worker thread."""
        while True:
            for path in await asyncio.to_thread(self._waiting):
                problem, envelopes = await asyncio.to_thread(_read, path)
                if problem:
                    self._log.warning("file refused", channel=self.client, file=path.name, reason=problem)
                    await asyncio.to_thread(self._refuse, path, problem)
                    continue
                replies = await asyncio.gather(*(self._ask(self.client, e.request_id, e.request) for e in envelopes))
                await asyncio.to_thread(self._answer, path, replies)
            await asyncio.sleep(POLL_S)

    def _waiting(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.json") if not path.name.startswith("."))

    def _refuse(self, path: Path, problem: str) -> None:
        _put(self._folder / "failed" / f"{path.stem}.reason.txt", problem.encode() + b"\n")
        path.replace(self._folder / "failed" / path.name)

    def _answer(self, path: Path, replies: list[Reply]) -> None:
        answers = [Answer(r.request_id, r.accepted, r.reason) for r in replies]
        # Answer first: after a crash in between the file is taken again, and answered the same.
        _put(self._folder / "done" / f"{path.stem}.reply.json", msgspec.json.encode(answers))
        path.replace(self._folder / "done" / path.name)


def _read(path: Path) -> tuple[str, list[Envelope]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            return f"larger than {FILE_BYTES_MAX} bytes: split it", []
        found = _decoder.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not a request: {error}", []
    envelopes = found if isinstance(found, list) else [found]
    if not all(0 < len(e.request_id) <= ID_LENGTH_MAX for e in envelopes):
        return f"a request_id must have 1 to {ID_LENGTH_MAX} characters and be its host's own for ever", []
    if len(envelopes) > REQUESTS_MAX:
        return f"{len(envelopes)} requests in one file, at most {REQUESTS_MAX}: split it", []
    return "", envelopes


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
