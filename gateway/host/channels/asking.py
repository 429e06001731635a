"""Puts the requests of a message, in order and not too many at a time, and says what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Reply, Request, Struct
from gateway.host.channels.intake import Piece
from gateway.host.channels.line import BACKOFF_MAX_S
from gateway.host.gate import Ask
from gateway.host.patience import BACKOFF_MIN_S

LIMIT_TRIES_MAX = 6
"""So often a request that met a limit is asked, within some 6 s; then the limit is its answer, and what comes after it
is asked once only until something is taken again."""


class Outcome(Struct, frozen=True):
    """What became of one request. `place` says where it came from, `request` what it was."""

    place: str
    request_id: str
    request: str
    accepted: bool
    reason: str
    code: str


class Asking:
    """One channel's way to the gate. While the gateway takes nothing at all it waits and asks again, for ever."""

    def __init__(self, client: str, ask: Ask, in_flight_max: int, log: Log) -> None:
        self.client = client
        self._ask = ask
        self._in_flight_max = in_flight_max
        self._log = log
        self._told = False
        self._at_limit = False

    async def ask_all(self, pieces: Sequence[Piece], tries_max: int = LIMIT_TRIES_MAX) -> list[Outcome]:
        """An outcome for each piece, all of them durable."""
        found: list[Outcome] = []
        for start in range(0, len(pieces), self._in_flight_max):
            part = pieces[start : start + self._in_flight_max]
            asked = [(piece.request_id, piece.request) for piece in part if piece.request is not None]
            replies = iter(await self._in_order(asked, tries_max))
            found.extend(
                _outcome(piece, next(replies))
                if piece.request is not None
                else Outcome(piece.place, piece.request_id, "", False, piece.problem, "invalid")
                for piece in part
            )
        return found

    async def _in_order(self, asked: list[tuple[str, Request]], tries_max: int) -> list[Reply]:
        """Whatever was not taken is asked again behind what was, in its order: those after it have waited, too."""
        replies: dict[int, Reply] = {}
        waiting = list(range(len(asked)))
        wait_s, limited = BACKOFF_MIN_S, 0
        tries_max = 1 if self._at_limit else tries_max
        while waiting:
            given = await asyncio.gather(*(self._ask(self.client, *asked[number]) for number in waiting))
            replies.update(zip(waiting, given, strict=True))
            unavailable = [number for number in waiting if replies[number].code == "unavailable"]
            over_limit = [number for number in waiting if replies[number].code == "limit"]
            limited += bool(over_limit)
            self._at_limit = bool(over_limit)
            self._tell(replies[unavailable[0]].reason if unavailable else "")
            waiting = sorted(unavailable + (over_limit if limited < tries_max else []))
            if waiting:
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, BACKOFF_MAX_S)
        return [replies[number] for number in range(len(asked))]

    def _tell(self, problem: str) -> None:
        if problem and not self._told:
            self._log.warning("channel waits: the gateway takes nothing", channel=self.client, reason=problem)
        elif self._told and not problem:
            self._log.info("channel goes on", channel=self.client)
        self._told = bool(problem)


def _outcome(piece: Piece, reply: Reply) -> Outcome:
    return Outcome(piece.place, piece.request_id, title(piece.request), reply.accepted, reply.reason, reply.code)


def title(request: Request | None) -> str:
    """A request in two words: "create_order O1"."""
    if request is None:
        return ""
    subject = next((str(getattr(request, name)) for name in ("order", "load") if hasattr(request, name)), "")
    return f"{request.__struct_config__.tag} {subject}".strip()
