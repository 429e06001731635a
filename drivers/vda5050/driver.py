"""Vehicles over MQTT 3.1.1, VDA 5050 2.0, 2.1 and 3.0: one connection to one broker for all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import aiomqtt
import msgspec

from drivers.capture import Capture
from drivers.link import Backoff, LinkLostError, honour_cancellation, require_not_ours, together
from drivers.vda5050 import broker
from drivers.vda5050.broker import TIMEOUT_S
from drivers.vda5050.intake import Intake
from drivers.vda5050.vehicle import Vehicle
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Sink
from gateway.devices.agv import Drive, Instant
from gateway.site import AgvSpec, Profile

CHECK_S = 0.25
ORDER_WAIT_MAX_S = 1.0
"""A vehicle that wants to be left without an order for less than this is waited for; all others wait with it."""
_TOPICS_IN = ("state", "visualization", "factsheet")
_NOT_GRANTED = 0x80
"""MQTT 3.1.1's answer to a subscription that the broker's access list does not allow."""


class VdaDriver:
    """`contract.Driver` of all vehicles of one broker; `specs` must name the same host, port, TLS and login.

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
        capture: Capture | None = None,
    ) -> None:
        self._connection = broker.agreed(list(specs))
        self._where = f"{self._connection.host}:{self._connection.port}"
        self._vehicles = {spec.id: Vehicle(spec, profiles[spec.profile], sink) for spec in specs}
        self._by_topic = {vehicle.topic: vehicle for vehicle in self._vehicles.values()}
        if len(self._by_topic) != len(specs):
            raise ValueError("two vehicles share one id or one topic: check manufacturer and serial")
        self._by_name: dict[str, list[Vehicle]] = {}
        for vehicle in self._vehicles.values():
            self._by_name.setdefault(vehicle.name, []).append(vehicle)
        self._sink = sink
        self._clock_ns = clock_ns
        self._utc_now = utc_now
        self._rng = rng or random.Random()
        self._capture = capture
        self._backoff = Backoff(self._rng)
        self._client: aiomqtt.Client | None = None
        self._owed: dict[DeviceId, Vehicle] = {}
        """Vehicles to which the driver itself has something to say."""
        self._speak = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Connect, listen and reconnect for ever; ends only by cancellation, with the connection closed."""
        while True:
            try:
                await self._session()
            except (aiomqtt.MqttError, OSError, LinkLostError) as lost:
                self._all_down(broker.why_refused(self._connection, lost))
            except Exception as failed:  # noqa: BLE001
                # Its fate: whatever paho throws at what the wire brought ends this connection, never the driver.
                require_not_ours(failed)
                self._all_down(f"{type(failed).__name__} {failed}")
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Publish an order or an instant action at QoS 0. Nothing is published twice.

        Waits where the vehicle wants orders further apart, `ORDER_WAIT_MAX_S` at most and not beyond the deadline.
        Raises NotWritten, also for what the vehicle's factsheet or its maps rule out.
        """
        vehicle = self._vehicles[command.device]
        self._require_sendable(vehicle, command)
        action = command.action
        if not isinstance(action, Drive | Instant):
            raise NotWritten(f"{command.device}: a vehicle knows no {type(action).__name__}", certain=True)
        topic, payload = vehicle.compose(action, self._utc_now())
        if isinstance(action, Drive):
            await self._keep_apart(vehicle, command)
        client = self._require_sendable(vehicle, command)
        vehicle.sending(action, self._now_ns())
        try:
            await self._publish(client, topic, payload)
        except (aiomqtt.MqttError, OSError) as exc:
            vehicle.meter.errors += 1
            raise NotWritten(f"{command.device}: publishing on {topic} failed: {exc}", certain=False) from exc

    def _require_sendable(self, vehicle: Vehicle, command: Command[Any]) -> aiomqtt.Client:
        if self._stopping:
            raise NotWritten(f"{command.device}: the gateway is stopping; nothing was written", certain=True)
        vehicle.link.require_sendable(command.deadline_ns, self._clock_ns)
        if self._client is None:
            raise NotWritten(f"{command.device}: broker {self._where} is away", certain=True)
        return self._client

    async def _keep_apart(self, vehicle: Vehicle, command: Command[Any]) -> None:
        """Wait for the rest of the least time between two orders; a rest that is too long is refused."""
        rest_s = vehicle.order_rest_s(self._now_ns())
        if rest_s <= 0:
            return
        left_s = (command.deadline_ns - self._clock_ns()) / 1e9
        if rest_s >= min(ORDER_WAIT_MAX_S, left_s):
            raise NotWritten(
                f"{command.device}: its factsheet wants {vehicle.order_interval_s:g} s between orders, {rest_s:.2f} s "
                "of them are left: the command is tried again later; nothing was written",
                certain=True,
            )
        await asyncio.sleep(rest_s)

    async def _publish(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        if self._capture is not None:
            self._note("out", topic, payload, qos=0, retain=False)
        await client.publish(topic, payload, qos=0, timeout=TIMEOUT_S)

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
        intake = Intake(self._take)
        identifier = f"stellwerk-{self._rng.getrandbits(48):012x}"
        client = broker.client(self._connection, identifier, queue_type=cast(Any, intake))
        await broker.enter(client)
        try:
            for vehicle in self._vehicles.values():
                vehicle.broker_up(self._now_ns())
            await together(self._subscribe_and_speak(client), self._listen(client, intake), self._age())
        finally:
            self._client = None
            await broker.leave(client)

    async def _listen(self, client: aiomqtt.Client, intake: Intake) -> None:
        """Wait for the connection to end: messages are taken as they come, by `_take`."""
        try:
            async for _ in client.messages:
                raise AssertionError("the intake keeps no message")
        except aiomqtt.MqttError:
            if intake.failed is not None:
                raise intake.failed from None
            raise

    async def _subscribe_and_speak(self, client: aiomqtt.Client) -> None:
        for vehicle in self._vehicles.values():
            # The same vehicle under another version or interface is heard, too: else it would pass for a silent one.
            depth = vehicle.topic.count("/") - 1
            anywhere = "+/" * depth + f"{vehicle.name}/connection"
            topics = [(f"{vehicle.topic}/{kind}", 0) for kind in _TOPICS_IN]
            *_, granted = await client.subscribe([*topics, (anywhere, 1)])
            if getattr(granted, "is_failure", granted == _NOT_GRANTED):
                await client.subscribe(f"{vehicle.topic}/connection", qos=1)
            honour_cancellation()
        self._client = client
        self._backoff.reset()
        while True:
            await self._speak.wait()
            self._speak.clear()
            owed, self._owed = self._owed, {}
            for vehicle in owed.values():
                if self._stopping:
                    return
                for topic, payload in vehicle.owed(self._now_ns(), self._utc_now()):
                    await self._publish(client, topic, payload)
                    honour_cancellation()

    def _take(self, message: aiomqtt.Message) -> None:
        """Act on one message at once, within the library's reading."""
        topic, payload = message.topic.value, bytes(message.payload)
        if self._capture is not None:
            self._note("in", topic, payload, qos=message.qos, retain=bool(message.retain))
        root, _, kind = topic.rpartition("/")
        vehicle = self._by_topic.get(root)
        if vehicle is None:
            for named in self._by_name.get("/".join(root.rsplit("/", 2)[-2:]), ()):
                named.elsewhere(root, payload)
            return
        try:
            if vehicle.take(kind, payload, retained=bool(message.retain), now_ns=self._now_ns()):
                self._owe(vehicle)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            vehicle.meter.bad_values += 1
            self._sink.bad_value(vehicle.device, kind, payload[:200], str(exc) or type(exc).__name__)

    def _owe(self, vehicle: Vehicle) -> None:
        self._owed[vehicle.device] = vehicle
        self._speak.set()

    async def _age(self) -> None:
        while True:
            for vehicle in self._vehicles.values():
                if vehicle.age(self._now_ns()):
                    self._owe(vehicle)
            await asyncio.sleep(CHECK_S)

    def _note(self, way: str, topic: str, payload: bytes, **flags: Any) -> None:
        assert self._capture is not None
        try:
            body = {"payload": payload.decode()}
        except UnicodeDecodeError:
            body = {"payload_hex": payload.hex()}
        self._capture.note(self._where, "vda5050", way, topic=topic, **flags, **body)

    def _all_down(self, why: str) -> None:
        for vehicle in self._vehicles.values():
            vehicle.broker_down(f"MQTT broker {self._where}: {why}")

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)
