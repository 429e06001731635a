"""One vehicle model on MQTT 3.1.1, as VDA 5050 2.0, 2.1 or 3.0 lays out its topics."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from contextlib import suppress
from typing import Any

import aiomqtt

from plc_simulators.models.agv import Agv
from plc_simulators.models.vda_order import MalformedError, read_instant_actions, read_order
from plc_simulators.servers.ports import HOST
from plc_simulators.servers.tasks import end
from plc_simulators.servers.vda_dialect import READ_AS, Dialect
from plc_simulators.servers.vda_messages import STATE_PERIOD_S, VISUALIZATION_PERIOD_S, Messages

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 256 * 1024
INCOMING_MAX = 64
"""Messages not yet read; a vehicle whose mailbox is full loses the newest, as QoS 0 allows."""
STATE_GAP_NS = 20_000_000
RECONNECT_S = (0.2, 5.0)
"""First and longest wait before the next try to reach the broker."""
KEEPALIVE_S = 10
CUT_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 5.0
GOODBYE_S = 2.0
"""How long a vehicle may take for saying OFFLINE."""


class VehicleClient:
    """Keeps one vehicle connected to the broker; `close` lets the link die without goodbye, `open` lets it back.

    `version` is the VDA 5050 that it speaks: one of `vda_dialect.VERSIONS`. Raises ValueError for any other.
    """

    def __init__(self, agv: Agv, map_id: str, port: int, version: str = READ_AS) -> None:
        self._agv = agv
        self._dialect = Dialect(version)
        self._messages = Messages(agv, map_id, self._dialect)
        self._port = port
        self._connections = 0
        self._link_allowed = asyncio.Event()
        self._link_allowed.set()
        self._cut = asyncio.Event()
        self._online = asyncio.Event()
        self._offline = asyncio.Event()
        self._offline.set()
        self._due = asyncio.Event()
        self._state_version = 0
        self._state_at_ns = 0
        self._shown_at_ns = 0
        self._factsheets = agv.factsheet_requests
        self._now_ns = 0
        self._task: asyncio.Task[None] | None = None
        self._ending = False
        self._told = False

    async def start(self) -> None:
        """Connect and keep connected, in a task of its own. Raises OSError where no broker answers."""
        self._task = asyncio.create_task(self._run(), name=f"vehicle {self._agv.layout.id}")
        try:
            await asyncio.wait_for(self._online.wait(), HANDSHAKE_TIMEOUT_S)
        except TimeoutError as problem:
            where = f"{HOST}:{self._port} within {HANDSHAKE_TIMEOUT_S:.0f} s"
            text = f"{self._agv.layout.id}: no broker answers on {where}; start it, or do without --mqtt-port"
            raise ConnectionError(text) from problem

    async def stop(self) -> None:
        """Say OFFLINE and end."""
        self._ending = True
        if self._task is not None:
            task, self._task = self._task, None
            await end(task, grace_s=GOODBYE_S)

    async def close(self) -> None:
        """Lose the link: the socket dies, the broker sends the last will."""
        self._link_allowed.clear()
        self._cut.set()
        await asyncio.wait_for(self._offline.wait(), CUT_TIMEOUT_S)

    async def open(self) -> None:
        """Let the vehicle find the broker again."""
        self._cut.clear()
        self._link_allowed.set()
        await asyncio.wait_for(self._online.wait(), HANDSHAKE_TIMEOUT_S)

    def flush(self, now_ns: int) -> None:
        """Wake the publisher if something is due. `now_ns` is real, monotonic."""
        self._agv.pace.catch_up()
        self._now_ns = now_ns
        age_ns = now_ns - self._state_at_ns
        changed = self._agv.version != self._state_version and age_ns >= STATE_GAP_NS
        if changed or age_ns >= STATE_PERIOD_S * 1e9 or now_ns - self._shown_at_ns >= VISUALIZATION_PERIOD_S * 1e9:
            self._due.set()

    async def _run(self) -> None:
        """Connect again and again until the end; the wait doubles up to its limit. A lost link is told once."""
        wait_s = RECONNECT_S[0]
        while not self._ending:
            await self._link_allowed.wait()
            try:
                await self._session()
            except aiomqtt.MqttError as problem:
                if self._online.is_set():
                    wait_s = RECONNECT_S[0]
                if not self._told and not self._cut.is_set():
                    log.warning("%s: broker link is down: %s", self._agv.layout.id, problem)
                    self._told = True
            finally:
                self._online.clear()
                self._offline.set()
            if self._link_allowed.is_set():
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RECONNECT_S[1])

    async def _session(self) -> None:
        """One connection, from CONNECT to its end; an end that nobody asked for raises MqttError."""
        topic = self._messages.topic
        self._connections += 1
        will = aiomqtt.Will(topic("connection"), self._messages.connection("CONNECTIONBROKEN"), qos=1, retain=True)
        async with aiomqtt.Client(
            HOST,
            self._port,
            # A new name each time: a broker that still holds the dead connection would refuse the old one.
            identifier=f"{self._agv.layout.serial}-{self._agv.layout.manufacturer}-{self._connections}",
            will=will,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=INCOMING_MAX,
            timeout=HANDSHAKE_TIMEOUT_S,
        ) as client:
            await client.subscribe([(topic("order"), 0), (topic("instantActions"), 0)])
            await client.publish(topic("connection"), self._messages.connection("ONLINE"), qos=1, retain=True)
            await client.publish(topic("factsheet"), self._messages.factsheet(), retain=True)
            self._state_version = 0
            self._offline.clear()
            self._online.set()
            if self._told:
                log.warning("%s: broker link is back", self._agv.layout.id)
                self._told = False
            try:
                await self._serve(client)
            except asyncio.CancelledError:
                # A broker that is gone already can't be told; the end goes on.
                with suppress(aiomqtt.MqttError):
                    await client.publish(topic("connection"), self._messages.connection("OFFLINE"), qos=1, retain=True)
                raise

    async def _serve(self, client: aiomqtt.Client) -> None:
        tasks = [
            asyncio.create_task(self._listen(client)),
            asyncio.create_task(self._publish(client)),
            asyncio.create_task(self._drop(client)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await end(*tasks)

    async def _drop(self, client: aiomqtt.Client) -> None:
        """Wait for the fault and then cut the socket under the client: it must not say goodbye."""
        await self._cut.wait()
        link = client._client.socket()
        assert isinstance(link, socket.socket), "a connected client has a socket"
        link.shutdown(socket.SHUT_RDWR)
        # The listener ends by itself with the client's own error for a dead link.
        await asyncio.sleep(CUT_TIMEOUT_S)

    async def _listen(self, client: aiomqtt.Client) -> None:
        order_topic = self._messages.topic("order")
        async for message in client.messages:
            is_order = message.topic.value == order_topic
            name = "order" if is_order else "instantActions"
            try:
                body = _decode(message.payload)
                if is_order:
                    self._agv.order(read_order(self._dialect.order(body)))
                else:
                    for action in read_instant_actions(self._dialect.instant_actions(body)):
                        self._agv.instant(action)
            except MalformedError as problem:
                self._agv.malformed(name, str(problem))

    async def _publish(self, client: aiomqtt.Client) -> None:
        topic = self._messages.topic
        while True:
            await self._due.wait()
            self._due.clear()
            if self._factsheets != self._agv.factsheet_requests:
                self._factsheets = self._agv.factsheet_requests
                await client.publish(topic("factsheet"), self._messages.factsheet(), retain=True)
            age_ns = self._now_ns - self._state_at_ns
            if self._agv.version != self._state_version or age_ns >= STATE_PERIOD_S * 1e9:
                self._state_version, self._state_at_ns = self._agv.version, self._now_ns
                await client.publish(topic("state"), self._messages.state())
            if self._now_ns - self._shown_at_ns >= VISUALIZATION_PERIOD_S * 1e9:
                self._shown_at_ns = self._now_ns
                await client.publish(topic("visualization"), self._messages.visualization())


def _decode(payload: Any) -> Any:
    """The JSON of a message. Raises MalformedError."""
    if not isinstance(payload, bytes | bytearray):
        raise MalformedError("the message has no body")
    if len(payload) > MESSAGE_BYTES_MAX:
        raise MalformedError(f"the message has {len(payload)} bytes, at most {MESSAGE_BYTES_MAX} are read")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as problem:
        raise MalformedError(f"not JSON: {problem}") from problem
