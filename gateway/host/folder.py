"""A channel made of a folder: hosts drop JSON files into it and find the answers beside them.

`<name>.json` holds one request or a list of them: `{"request_id": "…", "request": {"type": "create_order", …}}`.
Write it under another name (or with a leading dot) and rename it, so that it appears whole. When all its requests
are durable the file moves to `done/`, and `<name>.reply.json` beside it says per request whether it was accepted, and
if not, why. A file that is no such JSON goes to `failed/` with the reason; nothing of it is carried out.

Files of other formats are for `gateway.host.channels.records`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Reply, Struct
from gateway.host.channels.intake import Envelope, envelopes
from gateway.host.channels.tray import Tray, put
from gateway.host.gate import Ask
from gateway.site.channels import OTHER_PATTERN, FolderSpec

FILE_BYTES_MAX = 4 * 1024 * 1024
REQUESTS_MAX = 10_000
POLL_S = 0.1


class Answer(Struct, frozen=True):
    request_id: str
    accepted: bool
    reason: str


class FolderChannel:
    """Watches one folder for one client."""

    def __init__(self, client: str, folder: Path, ask: Ask, log: Log, spec: FolderSpec | None = None) -> None:
        """Raises OSError where the folder can't be made."""
        spec = spec or FolderSpec()
        self.client = client
        self._ask = ask
        self._bytes_max = spec.bytes_max
        self._tray = Tray(folder, spec.pattern or OTHER_PATTERN, spec.settle_ms or 0, client, log)

    async def run(self) -> None:
        """Take in what appears, oldest name first, for ever. The disk is only touched in a worker thread."""
        while True:
            for path in await asyncio.to_thread(self._tray.waiting):
                problem, given = await asyncio.to_thread(self._read, path)
                if problem:
                    await asyncio.to_thread(self._tray.refuse, path, problem)
                    continue
                replies = await asyncio.gather(*(self._ask(self.client, e.request_id, e.request) for e in given))
                await asyncio.to_thread(self._answer, path, replies)
            await asyncio.sleep(POLL_S)

    def _read(self, path: Path) -> tuple[str, list[Envelope]]:
        bytes_max = self._bytes_max or FILE_BYTES_MAX
        try:
            if path.stat().st_size > bytes_max:
                return f"larger than {bytes_max} bytes: split it", []
            return "", envelopes(path.read_bytes(), REQUESTS_MAX)
        except OSError as error:
            return f"not a request: {error}", []
        except ValueError as error:
            return str(error), []

    def _answer(self, path: Path, replies: list[Reply]) -> None:
        answers = [Answer(r.request_id, r.accepted, r.reason) for r in replies]
        # Answer first: after a crash in between the file is taken again, and answered the same.
        put(self._tray.folder / "done" / f"{path.stem}.reply.json", msgspec.json.encode(answers))
        self._tray.done(path)


__all__ = ["Answer", "Envelope", "FolderChannel"]
