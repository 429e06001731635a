"""Events and levels on MQTT below one root (a unified namespace in ISA-95's levels).

Events go out in order, one after the other is confirmed: the place in the outbox moves only with confirmations. Levels
are retained: whoever subscribes sees at once what is so. A topic whose device or alarm has gone is emptied, also when
that happened while the broker or the gateway was away.
"""

from __future__ import annotations

import asyncio
import contextlib
from hashlib import sha256
from urllib.parse import quote

import aiomqtt
import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import Scalar
from gateway.host.broker import BrokerAway
from gateway.host.gate import Gate
from gateway.host.outward import levels
from gateway.host.outward.broker import session
from gateway.host.outward.event import Row, utc
from gateway.host.outward.outbox import Outbox
from gateway.host.outward.target import Presence
from gateway.host.outward.together import together
from gateway.host.patience import honour_cancellation
from gateway.site.outward import MQTT, UnifiedSpec

BACKOFF_MAX_S = 30.0
PAGE = 200
"""Events on their way at a time, and confirmed together on the disk."""
_encode = msgspec.json.Encoder().encode


LEVEL_LENGTH_MAX = 500


def level(name: str) -> str:
    """`name` as one level of a topic: all but letters, digits and `_.-~` as in a URL, so that no two look alike. A very
    long one is cut, with a digest of the whole behind."""
    found = quote(name, safe="", errors="replace") or "%"
    if len(found) <= LEVEL_LENGTH_MAX:
        return found
    return f"{found[:LEVEL_LENGTH_MAX]}%~{sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


class Unified:
    """The target `mqtt`."""

    def __init__(self, spec: UnifiedSpec, site: str, outbox: Outbox, gate: Gate, log: Log) -> None:
        self.presence = Presence(MQTT, MQTT, BACKOFF_MAX_S, log)
        self._spec = spec
        self._site = site
        self._outbox = outbox
        self._gate = gate
        self._news = asyncio.Event()
        self._status = f"{spec.root}/status"

    def look(self) -> None:
        """The outbox has something new."""
        self._news.set()

    async def run(self) -> None:
        """Connect, tell, connect again, for ever."""
        while True:
            honour_cancellation()
            try:
                await self._one_session()
            except BrokerAway as error:
                self.presence.failed += 1
                self.presence.away(str(error))
            await asyncio.sleep(self.presence.wait_s())

    async def _one_session(self) -> None:
        will = aiomqtt.Will(self._status, self._says("offline"), qos=1, retain=True)
        async with session(self._spec.broker, f"stellwerk-{self._site}-outward", will) as client:
            try:
                await client.publish(self._status, self._says("online"), qos=1, retain=True)
                self.presence.up()
                await together(self._events(client), self._levels(client), _until_lost(client))
            finally:
                # A session that ends well takes its will along, so it is said here.
                # Where the broker is away it says our will by itself.
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(self._status, self._says("offline"), qos=1, retain=True, timeout=1.0)

    def _says(self, word: str) -> bytes:
        return _encode({"state": word, "site": self._site, "timestamp": utc(self._gate.now_ns())})

    # --- events ---

    async def _events(self, client: aiomqtt.Client) -> None:
        while True:
            honour_cancellation()
            self._news.clear()
            rows = await self._outbox.page(MQTT, -1, PAGE)
            if not rows:
                await self._news.wait()
                continue
            # paho sends them in the order in which they are handed over; so they are, since each task begins in turn.
            sent = [
                asyncio.create_task(client.publish(self._topic(r), r.told(self._site), self._spec.qos)) for r in rows
            ]
            try:
                done = await asyncio.gather(*sent, return_exceptions=True)
            finally:
                for task in sent:
                    task.cancel()
            confirmed = next((i for i, outcome in enumerate(done) if isinstance(outcome, BaseException)), len(rows))
            if confirmed:
                await self._outbox.delivered(MQTT, [row.key for row in rows[:confirmed]])
            if confirmed < len(rows):
                failed = done[confirmed]
                assert isinstance(failed, BaseException)
                raise failed

    def _topic(self, row: Row) -> str:
        if row.gap:
            return f"{self._spec.root}/event/outbox"
        kind = row.type.partition(".")[0]
        subject = row.subject.partition("/")[2]
        return f"{self._spec.root}/event/{kind}/{level(subject)}"

    # --- levels ---

    async def _levels(self, client: aiomqtt.Client) -> None:
        # Nothing is known of what the broker still has: all is said anew, and what is not so any more is emptied.
        told: dict[str, object] = dict.fromkeys(await self._outbox.retained(MQTT), None)
        while True:
            honour_cancellation()
            wanted = self._wanted()
            new, gone = wanted.keys() - told.keys(), told.keys() - wanted.keys()
            await self._outbox.retain(MQTT, new, ())  # first: a topic that is not noted would never be emptied
            at = utc(self._gate.now_ns())
            for topic, value in wanted.items():
                if topic in new or told[topic] != value:
                    payload = value if isinstance(value, dict) else {"value": value}
                    await client.publish(topic, _encode({**payload, "timestamp": at}), qos=1, retain=True)
                    told[topic] = value
            for topic in gone:
                await client.publish(topic, b"", qos=1, retain=True)
                del told[topic]
            await self._outbox.retain(MQTT, (), gone)
            await asyncio.sleep(self._spec.sample_ms / 1000)

    def _wanted(self) -> dict[str, Scalar | dict[str, Scalar]]:
        root, state = self._spec.root, self._gate.kernel.state
        found: dict[str, Scalar | dict[str, Scalar]] = {
            f"{root}/device/{level(name)}/{what}": value
            for name, device in levels.devices(state)
            for what, value in levels.of_device(device).items()
        }
        found.update({f"{root}/alarm/{level(alarm)}": about for alarm, about in levels.of_alarms(state).items()})
        return found


async def _until_lost(client: aiomqtt.Client) -> None:
    """Ends by MqttError as soon as the connection does; nothing is subscribed to."""
    async for _ in client.messages:
        honour_cancellation()
