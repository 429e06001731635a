"""What becomes of a channel's orders, kept until its host has it: heard on the loop, durable at the next `flush`."""

from __future__ import annotations

import apsw
import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Effect, Ns, OrderEvent, StepEvent, Struct
from gateway.host.store import Store


class KeptEvent(Struct, frozen=True):
    """`seq` and `number` name the event for ever: see `gateway.host.gate.Listener`."""

    seq: int
    number: int
    at_ns: Ns
    body: OrderEvent | StepEvent


_Row = tuple[int, int, int, bytes]
_encode = msgspec.json.Encoder().encode
_decode: msgspec.json.Decoder[OrderEvent | StepEvent] = msgspec.json.Decoder(OrderEvent | StepEvent)


class Events:
    """One channel's. Beyond `waiting_max` the oldest are dropped, which the log tells."""

    def __init__(self, channel: str, store: Store, waiting_max: int, log: Log) -> None:
        self._channel = channel
        self._store = store
        self._waiting_max = waiting_max
        self._log = log
        self._heard: list[_Row] = []

    def heard(self, seq: int, number: int, at_ns: Ns, effect: Effect) -> None:
        """A `Listener`. What is not about this channel's orders is passed over; known ones may come again."""
        if isinstance(effect, OrderEvent | StepEvent) and effect.client == self._channel:
            self._heard.append((seq, number, at_ns, _encode(effect)))

    @property
    def has_news(self) -> bool:
        """Something was heard that is not flushed yet."""
        return bool(self._heard)

    async def flush(self) -> None:
        """All that was heard is durable when it returns; called before every snapshot of the kernel."""
        if not self._heard:
            return
        rows, self._heard = self._heard, []

        def work(db: apsw.Connection) -> int:
            # A start tells again what was drawn since the snapshot: what the host has stays out.
            mark = db.execute("select seq, number from channel_told where channel = ?", (self._channel,)).fetchone()
            db.executemany(
                "insert or ignore into channel_event values(?, ?, ?, ?, ?)",
                [(self._channel, *row) for row in rows if mark is None or row[:2] > mark],
            )
            counted = db.execute("select count(*) from channel_event where channel = ?", (self._channel,)).fetchall()
            surplus = max(0, int(str(counted[0][0])) - self._waiting_max)
            if surplus:
                db.execute(
                    "delete from channel_event where channel = ?1 and (seq, number) in (select seq, number from "
                    "channel_event where channel = ?1 order by seq, number limit ?2)",
                    (self._channel, surplus),
                )
            return int(surplus)

        try:
            dropped = await self._store.write(work)
        except BaseException:
            self._heard = rows + self._heard  # not on the disk: they wait for the next flush
            raise
        if dropped:
            text = "events for a table are dropped: its database has been away for too long"
            self._log.error(text, channel=self._channel, dropped=dropped, waiting_max=self._waiting_max)

    async def oldest(self, count_max: int) -> list[KeptEvent]:
        """In the order in which they happened."""

        def look(db: apsw.Connection) -> list[KeptEvent]:
            found = db.execute(
                "select seq, number, at_ns, body from channel_event where channel = ? order by seq, number limit ?",
                (self._channel, count_max),
            )
            return [KeptEvent(seq, number, at, _decode.decode(body)) for seq, number, at, body in found]

        return await self._store.read(look)

    async def told(self, last: KeptEvent) -> None:
        """The host has this one and all before it."""

        def work(db: apsw.Connection) -> None:
            place = (self._channel, last.seq, last.number)
            db.execute("delete from channel_event where channel = ? and (seq, number) <= (?, ?)", place)
            db.execute("insert or replace into channel_told values(?, ?, ?)", place)

        await self._store.write(work)
