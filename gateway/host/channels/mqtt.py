"""Requests from a broker's topic. A message is acknowledged when its requests are durable, so none is lost.

What is not acknowledged comes again at the next connection, with the same request ids: it is done once. Messages are
put in the order in which they came, several at a time, and acknowledged in that order (MQTT 3.1.1, 4.6). A message that
the broker has kept for new subscribers (retained) is ignored: it would be carried out again at each connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiomqtt
import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.host.broker import BrokerAway
from gateway.host.channels.asking import Asking, Outcome
from gateway.host.channels.broker import acknowledge, session
from gateway.host.channels.intake import Intake
from gateway.host.channels.line import Line
from gateway.host.formats import Unreadable
from gateway.host.patience import honour_cancellation
from gateway.site.channels import MqttChannelSpec

REFUSED_CODE = 128
"""What SUBACK has for a topic that the broker does not let us have."""
_encode = msgspec.json.Encoder().encode


class MqttChannel:
    """`identifier` is the session's at the broker: no other client may have it."""

    def __init__(self, spec: MqttChannelSpec, identifier: str, intake: Intake, asking: Asking, log: Log) -> None:
        self.client = asking.client
        self._spec = spec
        self._identifier = identifier
        self._intake = intake
        self._asking = asking
        self._line = Line(asking.client, log)
        self._log = log
        self._retained_told = False

    async def run(self) -> None:
        """Connect, take, connect again, for ever."""
        while True:
            honour_cancellation()
            try:
                async with session(self._spec.broker, self._identifier) as client:
                    await self._serve(client)
            except BrokerAway as error:
                self._line.away(str(error))
            await asyncio.sleep(self._line.wait_s())

    async def _serve(self, client: aiomqtt.Client) -> None:
        granted = await client.subscribe(self._spec.topic, qos=self._spec.qos)
        code = getattr(granted[0], "value", granted[0]) if granted else REFUSED_CODE
        if code >= REFUSED_CODE:
            broker = self._spec.broker
            raise BrokerAway(
                f"broker {broker.host}:{broker.port} refuses the topic {self._spec.topic!r}: allow it to "
                f"{broker.user or 'anonymous clients'}"
            )
        self._line.up()
        under_way: asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]] = asyncio.Queue(self._spec.in_flight_max)
        taking = asyncio.create_task(self._take(client, under_way))
        ending = asyncio.create_task(self._acknowledge(client, under_way))
        try:
            await asyncio.wait([taking, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end([taking, ending])
            left = [under_way.get_nowait()[1] for _ in range(under_way.qsize())]
            await _end(left)
        for task in (taking, ending):
            if not task.cancelled():
                task.result()

    async def _take(
        self, client: aiomqtt.Client, under_way: asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]]
    ) -> None:
        async for message in client.messages:
            honour_cancellation()
            task = asyncio.create_task(self._carry_out(client, message))
            try:
                await under_way.put((message, task))
            except asyncio.CancelledError:
                await _end([task])
                raise

    async def _acknowledge(
        self, client: aiomqtt.Client, under_way: asyncio.Queue[tuple[aiomqtt.Message, asyncio.Task[None]]]
    ) -> None:
        while True:
            honour_cancellation()
            message, task = await under_way.get()
            try:
                await task
            finally:
                task.cancel()  # where it is us who end; nothing where it has ended
            acknowledge(client, message)

    async def _carry_out(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        """All of one message: its requests durable, its answers with the broker."""
        topic = str(message.topic)
        if message.retain:
            if not self._retained_told:
                self._log.warning(
                    "a retained message is ignored: publish without retain", channel=self.client, topic=topic
                )
                self._retained_told = True
            return
        outcomes: Sequence[Outcome]
        try:
            pieces = self._intake.whole(self._body(message), topic)
        except Unreadable as problem:
            self._log.warning("message refused", channel=self.client, topic=topic, reason=str(problem))
            outcomes = [Outcome("message", "", "", False, str(problem), "invalid")]
        else:
            outcomes = await self._asking.ask_all(pieces)
        if self._spec.reply_topic:
            for outcome in outcomes:
                answer = {"topic": topic, **msgspec.structs.asdict(outcome)}
                await client.publish(self._spec.reply_topic, _encode(answer), qos=self._spec.qos)

    def _body(self, message: aiomqtt.Message) -> bytes:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        if len(payload) > self._spec.bytes_max:
            raise Unreadable("message", f"{len(payload)} bytes, at most {self._spec.bytes_max}", "split it")
        return payload


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
