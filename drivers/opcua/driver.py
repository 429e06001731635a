"""Sorters and robot cells over OPC UA: levels by subscription, events by reading, a command in one Write or Call."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from asyncua.client.client import Client
from asyncua.client.ua_client import UaClientState

from drivers.capture import Capture
from drivers.handshake import Beat
from drivers.levels import Levels
from drivers.link import Backoff, Link, LinkLostError, honour_cancellation, require_not_ours, together
from drivers.meter import Meter
from drivers.opcua.calls import WIRE_ERRORS, Calls
from drivers.opcua.commands import Mailbox, Method, is_argument, overwritten, verified
from drivers.opcua.mending import Mender
from drivers.opcua.nodes import Nodes
from drivers.opcua.notifications import read_fast
from drivers.opcua.picture import HEARTBEAT, Picture
from drivers.opcua.ring import RingReader
from drivers.opcua.security import secure
from drivers.opcua.session import client_for, close, explain
from drivers.opcua.subscription import Settings, Subscription
from drivers.opcua.values import plain, scalar
from drivers.signals import BadValueError, Bound, WriteRefusedError, bind, mailbox
from gateway.contract import Command, DeviceId, LinkFigures, NotWritten, Scalar, Sink
from gateway.devices import robot_cell, sorter
from gateway.site import OpcuaConnection, OpcuaSecurity, Profile, RobotCellSpec, SorterSpec

CHECK_S = 0.1


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
        capture: Capture | None = None,
    ) -> None:
        self.device: DeviceId = spec.id
        self._meter = Meter(spec.id, "opcua", time.monotonic_ns)
        self._capture = capture
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
                self._ring = RingReader(spec.id, ring, self._signals, sorter.decode_event, sink, self._meter)
        else:
            self._decode, self._encode = robot_cell.decode, robot_cell.encode
        self._watched = [
            s for s in self._signals.values() if not s.writable and not (ring and s.name.startswith(f"{ring}."))
        ]
        # A command is put together from few signals, however many the profile has.
        self._mailbox = {name: s for name, s in self._signals.items() if s.writable or name.startswith("cmd_")}
        self._located = [s for s in self._signals.values() if not is_argument(profile, s)]
        self._writable = [s for s in self._located if s.writable]
        commands = Method if profile.handshake.method is not None else Mailbox
        self._commands: Mailbox | Method = commands(self._where, profile, self._signals)
        self._verified = verified(profile, self._signals)
        self._settings = _settings(spec.connection, profile, self._watched)
        self._link = Link(spec.id, sink)
        self._levels = Levels(self._link, self._where, self._decode, sink, profile.handshake.stale_ms)
        self._picture = Picture(self._watched, sink, self._meter, self._now_ns)
        self._mender = Mender(
            self._where, self._picture, self._signals.get(HEARTBEAT), profile.handshake.stale_ms,
            now_ns=self._now_ns, told=self._mended, reread=self._read_levels,
        )  # fmt: skip
        self._backoff = Backoff(rng or random.Random())
        self._beat = Beat()
        self._news = asyncio.Event()
        self._client: Client | None = None
        self._nodes: Nodes | None = None
        self._told: dict[str, object] = {}
        self._consume_due: int | None = None
        self._stopping = False

    async def run(self) -> None:
        """Connect, watch and reconnect for ever; ends only by cancellation, with the session closed."""
        while True:
            await self._session()
            honour_cancellation()
            await asyncio.sleep(self._backoff.next_s())

    async def send(self, command: Command[Any]) -> None:
        """Write the whole command in one call. Raises NotWritten; a write is never repeated here."""
        try:
            values = mailbox(self._mailbox, self._encode(command.action), epoch=command.epoch, seq=command.seq)
        except WriteRefusedError as denied:
            raise NotWritten(f"{self.device}: {denied}", certain=True) from None
        if self._stopping:
            raise NotWritten(f"{self.device}: the gateway is stopping; nothing was written", certain=True)
        self._link.require_sendable(command.deadline_ns, self._clock_ns)
        nodes = self._nodes
        if nodes is None or self._client is None or self._client.state is not UaClientState.CONNECTED:
            raise NotWritten(f"{self._where}: not connected; nothing was written", certain=True)
        await self._commands.send(nodes, values)

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
            with contextlib.suppress(LinkLostError, *WIRE_ERRORS):  # the PLC misses the heartbeat by itself then
                await nodes.write([(signal, Beat.GOODBYE)])

    def figures(self) -> list[LinkFigures]:
        return [self._meter.figures()]

    # --- one connection ---

    async def _session(self) -> None:
        """One session from connect to loss; the kernel is told of the loss before the session is closed."""
        client = client_for(self._connection)
        try:
            await self._hold(client)
        except LinkLostError as lost:
            self._link.change("down", str(lost))
        except Exception as failed:  # noqa: BLE001
            # Its fate: whatever asyncua throws at what the wire brought ends this session, never the driver.
            require_not_ours(failed)
            self._link.change("down", explain(self._where, failed, self._connection.timeout_ms))
        finally:
            self._client = self._nodes = None
            await close(client)

    async def _hold(self, client: Client) -> None:
        """Connect and watch until something raises; always raises."""
        if isinstance(self._connection.security, OpcuaSecurity):
            await secure(client, self._where, self._connection.security)
        await client.connect()
        self._meter.connects += 1
        calls = Calls(client, self._where, self._meter, self._capture)
        if self._capture is None:  # what is captured is read in full, with each value's own type
            read_fast(client)
        nodes = await Nodes.resolve(calls, self._where, self._profile.namespace, self._located)
        await self._begin(nodes)
        subscription = Subscription(
            calls, self._where, self._settings,
            take=self._picture.take, refuse=self._picture.refuse, told=self._tell, wake=self._news.set,
        )  # fmt: skip
        await subscription.open([(s, nodes.ids[s.name]) for s in self._watched])
        self._client, self._nodes = client, nodes
        await together(self._keep_beating(nodes), self._watch(client, nodes, subscription))

    async def _begin(self, nodes: Nodes) -> None:
        """Read everything once, and find where the event ring stands."""
        self._picture.begin()
        self._mender.begin()
        self._levels.connected(self._now_ns())
        await self._read_levels(nodes)
        await nodes.learn_variants(self._writable)
        await self._commands.prepare(nodes)
        if self._ring is None:
            return
        evt_rd = self._signals["evt_rd"]
        (answer,) = await nodes.read([evt_rd])
        try:
            consumed = scalar(evt_rd, answer)
        except BadValueError as bad:
            raise LinkLostError(f"{self._where}: {bad}: without it no event can be read") from None
        written = self._picture.values.get("evt_wr")
        if not isinstance(consumed, int) or not isinstance(written, int):
            raise LinkLostError(
                f"{self._where}: evt_wr {written!r} or evt_rd {consumed!r} is no number: check the profile"
            )
        self._ring.connected(consumed, written, self._picture.values.get("boot_id"))

    async def _read_levels(self, nodes: Nodes) -> None:
        for signal, answer in zip(self._watched, await nodes.read(self._watched), strict=True):
            self._picture.take(signal, *plain(answer))

    async def _keep_beating(self, nodes: Nodes) -> None:
        signal = self._signals.get("hb_gw")
        while signal is not None and signal.writable and not self._stopping:
            refused = await nodes.write([(signal, self._beat.advance())])
            honour_cancellation()
            if refused:
                self._picture.refuse(BadValueError("hb_gw", refused[0][1].name, "the device refuses our heartbeat"))
            await asyncio.sleep(self._profile.handshake.heartbeat_ms / 1000)

    async def _watch(self, client: Client, nodes: Nodes, subscription: Subscription) -> None:
        """Turn what has changed into reports and notices, age the heartbeat, and keep the subscription alive."""
        picture = self._picture
        while True:
            honour_cancellation()
            subscription.require_alive()
            if client.state is not UaClientState.CONNECTED:
                raise LinkLostError(f"{self._where}: the connection broke: is the PLC still on the network?")
            changed, picture.has_changed = picture.has_changed, False
            self._news.clear()
            if self._levels.step(picture.values, problem=picture.problem(), changed=changed, now_ns=self._now_ns()):
                self._backoff.reset()
                await self._write_consumed()
            if self._ring is not None and self._link.state == "up":
                await self._drain(self._ring, nodes)
            await self._mender.look(nodes, subscription)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._news.wait()

    async def _drain(self, ring: RingReader, nodes: Nodes) -> None:
        written = self._picture.values.get("evt_wr")
        if not isinstance(written, int):
            return
        if ring.settled(self._picture.values.get("boot_id"), written) and await ring.drain(nodes.read, written):
            self._levels.repeat()

    async def _write_consumed(self) -> None:
        due, nodes = self._consume_due, self._nodes
        if due is None or nodes is None or self._ring is None or not self._ring.cursor.covers(due):
            return
        values = [(self._signals["evt_rd"], due)]
        with contextlib.suppress(*WIRE_ERRORS):
            if await nodes.write(values):
                return
            differing = await nodes.differing(values) if "evt_rd" in self._verified else []
            if differing:
                signal, written, found = differing[0]
                self._picture.refuse(BadValueError(signal.name, found, overwritten(signal, written, found)))
            elif self._consume_due == due:
                self._consume_due = None

    # --- what a person is told ---

    def _tell(self, what: str, value: object, text: str) -> None:
        """Once, until it is another value: a server revises the same at each connect."""
        if self._told.get(what) != value:
            self._told[what] = value
            self._mended(text, value)

    def _mended(self, text: str, value: object = None) -> None:
        self._picture.refuse(BadValueError("subscription", value, f"{self._where}: {text}"))

    def _now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9)


def _settings(connection: OpcuaConnection, profile: Profile, watched: Sequence[Bound]) -> Settings:
    """What is asked of the subscription; a deadband in the signal's unit becomes one in the node's."""
    asked = {s.name: s.deadband for s in profile.signals}
    for group in profile.groups:
        asked.update({f"{group.group}.{s.name}": s.deadband for s in group.signals})
    deadbands = {}
    for signal in watched:
        parts = signal.name.split(".")
        deadband = asked.get(signal.name if len(parts) == 1 else f"{parts[0]}.{parts[-1]}")
        if deadband is not None:
            deadbands[signal.name] = deadband / abs(signal.scale)
    sampling_ms = connection.sampling_interval_ms
    publishing_ms = connection.publishing_interval_ms
    return Settings(
        publishing_ms, publishing_ms if sampling_ms is None else sampling_ms, connection.queue_size, deadbands
    )
