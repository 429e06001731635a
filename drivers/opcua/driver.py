"""Sorters and robot cells over OPC UA: levels by subscription, events by reading, a command in one Write."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy, StatusChangeEvent, Subscription
from asyncua.ua.uaerrors import UaError

from drivers.handshake import Beat
from drivers.levels import Levels
from drivers.link import Backoff, Link, LinkLostError, honour_cancellation, together
from drivers.meter import Meter
from drivers.opcua.nodes import Nodes, scalar
from drivers.opcua.ring import RingReader
from drivers.opcua.security import secure
from drivers.signals import LIFE_SIGNS, BadValueError, Bound, WriteRefusedError, bind, mailbox
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Scalar, Sink
from gateway.devices import robot_cell, sorter
from gateway.site import OpcuaSecurity, Profile, RobotCellSpec, SorterSpec

SESSION_TIMEOUT_MS = 30_000
SUBSCRIPTION_LIFE_MS = 30_000
KEEP_ALIVE_MS = 1_000
QUEUE_MAX = 10_000
"""Data changes waiting for us; beyond that the session is begun anew, which reads everything afresh."""
CHECK_S = 0.1
_WIRE_ERRORS = (OSError, TimeoutError, UaError)


class OpcuaDriver:
    """`contract.Driver` of one sorter or robot cell.

    `clock_ns` is kernel time, for command deadlines; staleness is measured on the loop's monotonic clock.
    """

    def __init__(
        self,
        spec: SorterSpec | RobotCellSpec,
        profile: Profile,
        sink: Sink,
        clock_ns: Callable[[], int],
        *,
        rng: random.Random | None = None,
    ) -> None:
        self.device: DeviceId = spec.id
        self._meter = Meter(spec.id, "opcua", time.monotonic_ns)
        self._connection = spec.connection
        self._where = f"{spec.id} {spec.connection.url}"
        self._profile = profile
        self._sink = sink
        self._clock_ns = clock_ns
        lanes = max(lane.lane for lane in spec.lanes) if isinstance(spec, SorterSpec) else 0
        self._signals = bind(profile, lanes=lanes)
        ring = profile.handshake.ring
        self._ring: RingReader | None = None
        self._decode: Callable[[Mapping[str, Scalar]], Any]
        self._encode: Callable[[Any], dict[str, Scalar]]
        if isinstance(spec, SorterSpec):
            self._decode, self._encode = partial(sorter.decode, lanes=lanes), sorter.encode
            if ring:
                self._ring = RingReader(spec.id, ring, self._signals, sorter.decode_event, sink)
        else:
            self._decode, self._encode = robot_cell.decode, robot_cell.encode
        self._watched = [
            s for s in self._signals.values() if not s.writable and not (ring and s.name.startswith(f"{ring}."))
        ]
        self._writable = [s for s in self._signals.values() if s.writable]
        self._link = Link(spec.id, sink)
        self._levels = Levels(self._link, self._where, self._decode, sink, profile.handshake.stale_ms)
        self._backoff = Backoff(rng or random.Random())
        self._beat = Beat()
        self._values: dict[str, Scalar] = {}
        self._bad: set[str] = set()
        self._changed = False
        self._news = asyncio.Event()
        self._client: Client | None = None
        self._nodes: Nodes | None = None
        self._consume_due: int | None = None
        self._stopping = False

    async def run(self) -> None:
        """Connect, watch and reconnect for ever; ends only by cancellation, with the session closed."""
        while True:
            await self._session()
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Write the whole command in one Write call. Raises NotWritten; a write is never repeated here."""
        try:
            values = mailbox(self._signals, self._encode(command.action), epoch=command.epoch, seq=command.seq)
        except WriteRefusedError as denied:
            raise NotWritten(f"{self.device}: {denied}", certain=True) from None
        if self._stopping:
            raise NotWritten(f"{self.device}: the gateway is stopping; nothing was written", certain=True)
        self._link.require_sendable(command.deadline_ns, self._clock_ns)
        nodes = self._nodes
        if nodes is None or self._client is None or self._client.state is not UaClientState.CONNECTED:
            raise NotWritten(f"{self._where}: not connected; nothing was written", certain=True)
        try:
            refused = await nodes.write(values)
        except _WIRE_ERRORS as exc:
            raise NotWritten(f"{self._where}: the command's Write call failed: {exc!r}", certain=False) from exc
        if refused:
            signal, status = refused[0]
            raise NotWritten(f"{self._where}: writing {signal.name} ({signal.node}): {status.name}", certain=False)

    async def consume(self, device: DeviceId, ring_index: int) -> None:
        """Write `evt_rd`; an error, or no connection, leaves it to the next call or the next connection."""
        if device != self.device or self._ring is None or not self._ring.cursor.covers(ring_index):
            return
        self._consume_due = ring_index
        await self._write_consumed()

    async def safe_stop(self) -> None:
        """Send nothing more and say goodbye, so that the PLC goes to its safe action at once, not after 5 s."""
        self._stopping = True
        nodes, signal = self._nodes, self._signals.get("hb_gw")
        if nodes is not None and signal is not None and signal.writable:
            with contextlib.suppress(LinkLostError):  # without a link the PLC misses the heartbeat by itself
                await nodes.write([(signal, Beat.GOODBYE)])

    def figures(self) -> list[LinkFigures]:
        return [self._meter.figures()]

    # --- one connection ---

    async def _session(self) -> None:
        """One session from connect to loss; the kernel is told of the loss before the session is closed."""
        timeout_s = self._connection.timeout_ms / 1000
        client = Client(self._connection.url, timeout=timeout_s, watchdog_intervall=timeout_s)
        client.session_timeout = SESSION_TIMEOUT_MS
        try:
            await self._hold(client)
        except LinkLostError as lost:
            self._link.change("down", str(lost))
        except AssertionError:
            raise
        except Exception as failed:  # noqa: BLE001
            # Its fate: whatever asyncua throws at what the wire brought ends this session, never the driver.
            self._link.change("down", self._explain(failed))
        finally:
            self._client = self._nodes = None
            await self._close(client)

    async def _hold(self, client: Client) -> None:
        """Connect and watch until something raises; always raises."""
        if isinstance(self._connection.security, OpcuaSecurity):
            await secure(client, self._where, self._connection.security)
        await client.connect()
        nodes = await Nodes.resolve(client, self._where, self._profile.namespace, self._signals.values())
        await self._begin(nodes)
        subscription = await self._subscribe(client, nodes)
        self._client, self._nodes = client, nodes
        await together(self._pump(subscription), self._keep_beating(nodes), self._watch(client, nodes))

    async def _close(self, client: Client) -> None:
        """Leave nothing open, cancelled or not; towards a dead server this takes up to two timeouts."""
        # Where asyncua has given the connection up by itself, its `disconnect_socket` does nothing: the socket stays.
        protocol = client.uaclient.protocol
        try:
            with contextlib.suppress(*_WIRE_ERRORS):
                if client.state is UaClientState.CONNECTED:
                    await client.disconnect()
                else:
                    await client.close_session()
        finally:
            client.disconnect_socket()
            if protocol is not None and protocol.transport is not None:
                protocol.disconnect_socket()

    async def _begin(self, nodes: Nodes) -> None:
        """Read everything once, and find where the event ring stands."""
        self._values.clear()
        self._bad.clear()
        self._levels.connected(self._now_ns())
        for signal, answer in zip(self._watched, await nodes.read(self._watched), strict=True):
            self._take(signal, answer)
        await nodes.learn_variants(self._writable)
        if self._ring is None:
            return
        evt_rd = self._signals["evt_rd"]
        (answer,) = await nodes.read([evt_rd])
        try:
            consumed = scalar(evt_rd, answer)
        except BadValueError as bad:
            raise LinkLostError(f"{self._where}: {bad}: without it no event can be read") from None
        written = self._values.get("evt_wr")
        if not isinstance(consumed, int) or not isinstance(written, int):
            raise LinkLostError(
                f"{self._where}: evt_wr {written!r} or evt_rd {consumed!r} is no number: check the profile"
            )
        self._ring.connected(consumed, written, self._values.get("boot_id"))

    async def _subscribe(self, client: Client, nodes: Nodes) -> Subscription:
        interval_ms = self._connection.publishing_interval_ms
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_ms,
            RequestedLifetimeCount=max(300, SUBSCRIPTION_LIFE_MS // interval_ms),
            RequestedMaxKeepAliveCount=max(10, KEEP_ALIVE_MS // interval_ms),
            MaxNotificationsPerPublish=1000,
            PublishingEnabled=True,
            Priority=0,
        )
        subscription = await client.create_subscription(
            params, queue_maxsize=QUEUE_MAX, overflow=OverflowPolicy.DISCONNECT
        )
        self._by_node = {nodes.ids[s.name]: s for s in self._watched}
        for start in range(0, len(self._watched), nodes.items_max):
            part = self._watched[start : start + nodes.items_max]
            results = await subscription.subscribe_data_change(
                [client.get_node(nodes.ids[s.name]) for s in part],
                queuesize=1,
                sampling_interval=ua.Double(interval_ms),
            )
            for signal, result in zip(part, results, strict=True):
                if isinstance(result, ua.StatusCode):
                    self._refuse(BadValueError(signal.name, result.name, f"node {signal.node} can't be subscribed"))
        return subscription

    async def _pump(self, subscription: Subscription) -> None:
        """Note each data change; all that have come in one go are taken before anybody looks."""
        async for event in subscription:
            if isinstance(event, StatusChangeEvent):
                status = event.notification.Status.name
                raise LinkLostError(f"{self._where}: the connection broke ({status}): is the PLC on the network?")
            if not isinstance(event, DataChangeEvent):
                continue
            signal = self._by_node.get(event.node.nodeid)
            if signal is not None:
                self._take(signal, event.data.monitored_item.Value)
                self._news.set()
        raise LinkLostError(f"{self._where}: the subscription ended")

    async def _keep_beating(self, nodes: Nodes) -> None:
        signal = self._signals.get("hb_gw")
        while signal is not None and signal.writable and not self._stopping:
            refused = await nodes.write([(signal, self._beat.advance())])
            honour_cancellation()
            if refused:
                self._refuse(BadValueError("hb_gw", refused[0][1].name, "the device refuses our heartbeat"))
            await asyncio.sleep(self._profile.handshake.heartbeat_ms / 1000)

    async def _watch(self, client: Client, nodes: Nodes) -> None:
        """Turn what has changed into reports and notices, and age the heartbeat."""
        while True:
            honour_cancellation()
            if client.state is not UaClientState.CONNECTED:
                raise LinkLostError(f"{self._where}: the connection broke: is the PLC still on the network?")
            changed, self._changed = self._changed, False
            self._news.clear()
            if self._levels.step(self._values, problem=self._problem(), changed=changed, now_ns=self._now_ns()):
                self._backoff.reset()
                await self._write_consumed()
            if self._ring is not None and self._link.state == "up":
                await self._drain(self._ring, nodes)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()

    async def _drain(self, ring: RingReader, nodes: Nodes) -> None:
        written = self._values.get("evt_wr")
        if not isinstance(written, int):
            return
        if ring.settled(self._values.get("boot_id"), written) and await ring.drain(nodes.read, written):
            self._levels.repeat()

    async def _write_consumed(self) -> None:
        due, nodes = self._consume_due, self._nodes
        if due is None or nodes is None or self._ring is None or not self._ring.cursor.covers(due):
            return
        with contextlib.suppress(*_WIRE_ERRORS):
            refused = await nodes.write([(self._signals["evt_rd"], due)])
            if not refused and self._consume_due == due:
                self._consume_due = None

    # --- values ---

    def _problem(self) -> str:
        bad = sorted(self._bad) or [s.name for s in self._watched if s.name not in self._values]
        return f"{len(bad)} signals can't be read, {bad[0]} for one: check the profile against the PLC" if bad else ""

    def _take(self, signal: Bound, answer: ua.DataValue) -> None:
        try:
            value = scalar(signal, answer)
        except BadValueError as bad:
            self._refuse(bad)
            return
        if signal.name in self._bad or signal.name not in self._values or self._values[signal.name] != value:
            self._bad.discard(signal.name)
            self._values[signal.name] = value
            self._changed = self._changed or signal.name not in LIFE_SIGNS

    def _refuse(self, bad: BadValueError) -> None:
        if bad.signal in {s.name for s in self._watched}:
            self._bad.add(bad.signal)
        self._sink.bad_value(self.device, bad.signal, bad.value, bad.problem)

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)

    def _explain(self, exc: BaseException) -> str:
        if isinstance(exc, ConnectionRefusedError):
            return f"{self._where} refused the connection: is the PLC on and the address right?"
        if isinstance(exc, TimeoutError):
            timeout_ms = self._connection.timeout_ms
            return f"{self._where} did not answer within {timeout_ms} ms: is the PLC on the network?"
        return f"{self._where}: {type(exc).__name__} {exc}".rstrip() + ": is the PLC on and its OPC UA server running?"
