"""What a recorded link's vehicles said, published again on a broker with its spacing, QoS and retain flags."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

import aiomqtt

from plc_simulators.playback.record import CaptureError, Record
from plc_simulators.servers.ports import HOST
from plc_simulators.servers.tasks import end

TIMEOUT_S = 5.0


class VdaPlayback:
    """Publishes the `in` messages of one link on the broker at `host`:`port`, the first at once.

    Spacing is the recorded one divided by `speed`. What was retained then is published retained, and stays at the
    broker afterwards as a vehicle's does. Raises CaptureError for a recording in which no vehicle said anything.
    """

    def __init__(self, records: Sequence[Record], *, port: int, host: str = HOST, speed: float = 1.0) -> None:
        self.host = host
        self.port = port
        self.published = 0
        self._speed = speed
        self._messages = [record for record in records if record.way == "in"]
        if not self._messages:
            raise CaptureError("no message came in over this link: there is nothing to play back")
        self._task: asyncio.Task[None] | None = None
        self._client: aiomqtt.Client | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self) -> None:
        """Connect and begin. Raises aiomqtt.MqttError."""
        client = aiomqtt.Client(self.host, self.port, timeout=TIMEOUT_S)
        self._client = await client.__aenter__()
        self._task = asyncio.create_task(self._publish(client), name="playback")

    async def finished(self) -> None:
        """Wait until all has been published. Raises aiomqtt.MqttError where the broker went away before."""
        assert self._task is not None, "the playback has not been started"
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Break off, or leave after the last message."""
        if self._task is not None:
            await end(self._task)
        if self._client is not None:
            client, self._client = self._client, None
            with suppress(aiomqtt.MqttError):  # a broker that is gone can't be told goodbye
                await client.__aexit__(None, None, None)

    async def __aenter__(self) -> VdaPlayback:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _publish(self, client: aiomqtt.Client) -> None:
        loop = asyncio.get_running_loop()
        begun_s, first_ns = loop.time(), self._messages[0].at_ns
        for message in self._messages:
            due_s = begun_s + (message.at_ns - first_ns) / 1e9 / self._speed
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            payload = bytes.fromhex(message.payload_hex) if message.payload is None else message.payload.encode()
            await client.publish(message.topic, payload, qos=message.qos, retain=message.retain)
            self.published += 1
