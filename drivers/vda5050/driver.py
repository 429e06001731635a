"""Vehicles over MQTT 3.1.1, VDA 5050 2.0, 2.1 and 3.0: one connection to one broker for all of them."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiomqtt
import msgspec

from drivers.link import Backoff, LinkLostError, honour_cancellation, together
from drivers.vda5050.vehicle import Vehicle
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Sink
from gateway.devices.agv import Drive, Instant
from gateway.site import AgvSpec, Profile

KEEPALIVE_S = 2
"""A frozen broker is noticed within twice this time."""
TIMEOUT_S = 5.0
INCOMING_MAX = 10_000
"""Messages waiting for us; beyond that the connection is begun anew, since the oldest truth would win."""
CHECK_S = 0.25
_TOPICS_IN = ("connection", "state", "visualization", "factsheet")
_QOS = {"connection": 1}


class VdaDriver:
    """`contract.Driver` of all vehicles of one broker; `specs` must name the same host and port.

    `clock_ns` is kernel time, for command deadlines; `utc_now` gives ISO 8601 timestamps for the wire. Raises
    ValueError for specs of several brokers, two vehicles on one topic or a version that is not spoken, KeyError for a
    missing profile.
    """

    def __init__(
        self,
        specs: Sequence[AgvSpec],
        profiles: Mapping[str, Profile],
        sink: Sink,
        clock_ns: Callable[[], int],
        utc_now: Callable[[], str],
        *,
        rng: random.Random | None = None,
    ) -> None:
        brokers = {(spec.connection.host, spec.connection.port) for spec in specs}
        if len(brokers) != 1:
            raise ValueError(f"one driver serves one broker, these vehicles have {len(brokers)}: {sorted(brokers)}")
        ((self._host, self._port),) = brokers
        self._vehicles = {spec.id: Vehicle(spec, profiles[spec.profile], sink) for spec in specs}
        self._by_topic = {vehicle.topic: vehicle for vehicle in self._vehicles.values()}
        if len(self._by_topic) != len(specs):
            raise ValueError("two vehicles share one id or one topic: check manufacturer and serial")
        self._sink = sink
        self._clock_ns = clock_ns
        self._utc_now = utc_now
        self._rng = rng or random.Random()
        self._backoff = Backoff(self._rng)
        self._client: aiomqtt.Client | None = None
        self._requests = 0
        self._stopping = False

    async def run(self) -> None:
        """Connect, listen and reconnect for ever; ends only by cancellation, with the connection closed."""
        while True:
            try:
                await self._session()
            except (aiomqtt.MqttError, OSError, LinkLostError) as lost:
                self._all_down(str(lost))
            except AssertionError:
                raise
            except Exception as failed:  # noqa: BLE001
                # Its fate: whatever paho throws at what the wire brought ends this connection, never the driver.
                self._all_down(f"{type(failed).__name__} {failed}")
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Publish an order or an instant action at QoS 0. Nothing is published twice.

        Raises NotWritten, also for what the vehicle's factsheet rules out.
        """
        vehicle = self._vehicles[command.device]
        if self._stopping:
            raise NotWritten(f"{command.device}: the gateway is stopping; nothing was written", certain=True)
        vehicle.link.require_sendable(command.deadline_ns, self._clock_ns)
        if self._client is None:
            raise NotWritten(f"{command.device}: broker {self._host}:{self._port} is away", certain=True)
        action = command.action
        if not isinstance(action, Drive | Instant):
            raise NotWritten(f"{command.device}: a vehicle knows no {type(action).__name__}", certain=True)
        topic, payload = vehicle.compose(action, self._utc_now())
        try:
            await self._client.publish(topic, payload, qos=0, timeout=TIMEOUT_S)
        except (aiomqtt.MqttError, OSError) as exc:
            raise NotWritten(f"{command.device}: publishing on {topic} failed: {exc}", certain=False) from exc

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Nothing to do: vehicles have no event ring."""

    async def safe_stop(self) -> None:
        """Send nothing more. Vehicles drive on to their last released node, as the standard says."""
        self._stopping = True

    def figures(self) -> list[LinkFigures]:
        return [vehicle.meter.figures() for vehicle in self._vehicles.values()]

    # --- one connection ---

    async def _session(self) -> None:
        """One connection from connect to loss; raises what ended it."""
        client = aiomqtt.Client(
            self._host,
            self._port,
            identifier=f"stellwerk-{self._rng.getrandbits(48):012x}",
            keepalive=KEEPALIVE_S,
            timeout=TIMEOUT_S,
            max_queued_incoming_messages=INCOMING_MAX,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        await _enter(client)
        try:
            for vehicle in self._vehicles.values():
                vehicle.broker_up(self._now_ns())
            for vehicle in self._vehicles.values():
                topics = [(f"{vehicle.topic}/{kind}", _QOS.get(kind, 0)) for kind in _TOPICS_IN]
                await client.subscribe(topics)
            self._client = client
            self._backoff.reset()
            await together(self._listen(client), self._age())
        finally:
            self._client = None
            await _leave(client)

    async def _listen(self, client: aiomqtt.Client) -> None:
        """Take each message at once, so that the client's queue stays empty."""
        messages = client.messages
        async for message in messages:
            honour_cancellation()
            if len(messages) >= INCOMING_MAX - 1:
                raise LinkLostError(f"more than {INCOMING_MAX} messages wait here; beginning anew")
            root, _, kind = str(message.topic).rpartition("/")
            vehicle = self._by_topic.get(root)
            if vehicle is None or not isinstance(message.payload, bytes | bytearray):
                continue
            payload = bytes(message.payload)
            try:
                came_online = vehicle.take(kind, payload, retained=bool(message.retain), now_ns=self._now_ns())
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
                self._sink.bad_value(vehicle.device, kind, payload[:200], str(exc) or type(exc).__name__)
                continue
            if came_online and not self._stopping:
                await self._ask(client, vehicle)

    async def _ask(self, client: aiomqtt.Client, vehicle: Vehicle) -> None:
        """Ask a vehicle that has come online for its state and factsheet, rather than wait 30 s for them."""
        for kind in ("stateRequest", "factsheetRequest"):
            self._requests += 1
            now = self._utc_now()
            instant = Instant(action_id=f"{kind}-{now}-{self._requests}", kind=kind, blocking="NONE")
            payload = vehicle.sender.instant_actions(instant, now)
            await client.publish(f"{vehicle.topic}/instantActions", payload, qos=0, timeout=TIMEOUT_S)

    async def _age(self) -> None:
        while True:
            for vehicle in self._vehicles.values():
                vehicle.age(self._now_ns())
            await asyncio.sleep(CHECK_S)

    def _all_down(self, why: str) -> None:
        reason = f"MQTT broker {self._host}:{self._port}: {why}: is it running?"
        for vehicle in self._vehicles.values():
            vehicle.broker_down(reason)

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)


async def _enter(client: aiomqtt.Client) -> None:
    """Connect. A cancellation waits for the attempt to end: paho's connecting thread can't be stopped."""
    attempt = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        await asyncio.wait([attempt])
        if attempt.exception() is None:
            await _leave(client)
        raise


async def _leave(client: aiomqtt.Client) -> None:
    """Disconnect; a connection that is already gone is what we want."""
    try:
        await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, OSError):
        return
