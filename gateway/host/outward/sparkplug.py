"""A Sparkplug B 3.0 edge node: the gateway is the node, the site's devices are its devices.

Births say all metrics with names, types and aliases; data says what has changed since, by alias. A device is born while
its link is not down, and dies with it. Nothing is kept for a host that is away: it asks for a rebirth and has all there
is. Names in brackets are those of the rules in the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import aiomqtt
import msgspec
from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import DeviceId
from gateway.host.broker import BrokerAway
from gateway.host.gate import Gate
from gateway.host.outward import levels
from gateway.host.outward.broker import session
from gateway.host.outward.outbox import Outbox
from gateway.host.outward.sparkplug_metrics import Metrics
from gateway.host.outward.sparkplug_payload import BOOLEAN, INT64, Metric, asks_for_rebirth, encode
from gateway.host.outward.target import Presence
from gateway.host.outward.together import together
from gateway.host.patience import honour_cancellation
from gateway.site.outward import SPARKPLUG, SparkplugSpec

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
REBIRTH_PAUSE_S = 1.0
"""Several hosts that ask at once get one birth sequence."""
BACKOFF_MAX_S = 30.0
COUNT_BELOW = 256


class HostState(msgspec.Struct, frozen=True):
    """What a host application says of itself on `spBv1.0/STATE/<id>`."""

    online: bool
    timestamp: int


class EdgeNode:
    """The target `sparkplug`."""

    def __init__(self, spec: SparkplugSpec, site: str, outbox: Outbox, gate: Gate, log: Log) -> None:
        self.presence = Presence(SPARKPLUG, SPARKPLUG, BACKOFF_MAX_S, log)
        self.told = 0
        """Messages written since the start."""
        self._spec = spec
        self._site = site
        self._outbox = outbox
        self._gate = gate
        self._metrics = Metrics(spec, gate, log)
        self._death = bdseq_metric(0)
        self._seq = 0
        self._born: dict[DeviceId, dict[str, Metric]] = {}
        self._node: dict[str, Metric] = {}
        self._rebirth = asyncio.Event()
        self._host_ns = -1
        self._host_online = asyncio.Event()

    async def run(self) -> None:
        """Connect, be born, tell, connect again, for ever."""
        while True:
            honour_cancellation()
            try:
                await self._one_session()
            except BrokerAway as error:
                self.presence.failed += 1
                self.presence.away(str(error))
            await asyncio.sleep(self.presence.wait_s())

    async def _one_session(self) -> None:
        # One more with each CONNECT [tck-id-topics-nbirth-bdseq-increment], also over a restart.
        self._death = bdseq_metric(await self._outbox.count_on("sparkplug bdSeq", COUNT_BELOW))
        will = aiomqtt.Will(self._topic("NDEATH"), self._ndeath(), qos=1, retain=False)
        async with session(self._spec.broker, f"stellwerk-{self._site}-sparkplug", will) as client:
            self._host_online.clear()
            await client.subscribe(self._topic("NCMD"), qos=1)
            if self._spec.primary_host:
                await client.subscribe(f"{NAMESPACE}/STATE/{self._spec.primary_host}", qos=1)
            try:
                await together(self._hear(client), self._tell(client))
            finally:
                # A session that ends well takes its will along [tck-id-payloads-ndeath-will-message-publisher].
                # Where the broker is away it says our will by itself.
                with contextlib.suppress(aiomqtt.MqttError):
                    await client.publish(self._topic("NDEATH"), self._ndeath(), qos=1, timeout=1.0)

    # --- what is said ---

    async def _tell(self, client: aiomqtt.Client) -> None:
        if self._spec.primary_host:
            await self._host_online.wait()
        await self._be_born(client)
        self.presence.up()
        while True:
            honour_cancellation()
            try:
                async with asyncio.timeout(self._spec.sample_ms / 1000):
                    await self._rebirth.wait()
            except TimeoutError:
                await self._tell_changes(client)
                continue
            await self._be_born(client)
            await asyncio.sleep(REBIRTH_PAUSE_S)

    async def _be_born(self, client: aiomqtt.Client) -> None:
        self._rebirth.clear()
        self._seq = -1
        self._node = self._metrics.of_node()
        control = [Metric(False, BOOLEAN, REBIRTH)]  # no alias [tck-id-operational-behavior-data-commands-rebirth-…]
        await self._say(client, "NBIRTH", [self._death, *control, *self._node.values()], birth=True)
        self._born = {}
        for device, record in levels.devices(self._gate.kernel.state):
            if record.health.link != "down":
                await self._bear(client, device)

    async def _bear(self, client: aiomqtt.Client, device: DeviceId) -> None:
        record = self._gate.kernel.state.device(device)
        if record is None:
            return
        self._born[device] = self._metrics.of_device(device, record)
        await self._say(client, "DBIRTH", list(self._born[device].values()), device, birth=True)

    async def _tell_changes(self, client: aiomqtt.Client) -> None:
        node = self._metrics.of_node()
        if changed := changes(self._node, node):
            await self._say(client, "NDATA", changed)
        self._node = node
        alive = {
            name: record for name, record in levels.devices(self._gate.kernel.state) if record.health.link != "down"
        }
        for device in self._born.keys() - alive.keys():
            del self._born[device]
            await self._say(client, "DDEATH", [], device)
        for device, record in alive.items():
            before, now = self._born.get(device), self._metrics.of_device(device, record)
            if before is None or not same_metrics(before, now):
                await self._bear(client, device)  # new, or it has values that its birth did not name
            elif changed := changes(before, now):
                self._born[device] = {**before, **now}
                await self._say(client, "DDATA", changed, device)

    async def _say(
        self, client: aiomqtt.Client, verb: str, metrics: Sequence[Metric], device: str = "", *, birth: bool = False
    ) -> None:
        self._seq = (self._seq + 1) % COUNT_BELOW
        payload = encode(metrics, self._gate.now_ns(), self._seq, birth=birth)
        await client.publish(self._topic(verb, device), payload, qos=0, retain=False)
        self.told += 1

    def _ndeath(self) -> bytes:
        return encode([self._death], self._gate.now_ns(), None, birth=True)

    def _topic(self, verb: str, device: str = "") -> str:
        topic = f"{NAMESPACE}/{self._spec.group_id}/{verb}/{self._spec.edge_node_id}"
        return f"{topic}/{device}" if device else topic

    # --- what is heard ---

    async def _hear(self, client: aiomqtt.Client) -> None:
        command = self._topic("NCMD")
        async for message in client.messages:
            honour_cancellation()
            data = message.payload if isinstance(message.payload, bytes) else b""
            if str(message.topic) == command:
                if asks_for_rebirth(data, REBIRTH):
                    self._rebirth.set()
            elif self._host_said(data) is False:
                raise BrokerAway(f"the primary host {self._spec.primary_host} is offline")

    def _host_said(self, data: bytes) -> bool | None:
        """Whether the primary host is online; None where the message says nothing, or is older than another one."""
        try:
            said = msgspec.json.decode(data, type=HostState)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if said.timestamp < self._host_ns:
            return None
        self._host_ns = said.timestamp
        if said.online:
            self._host_online.set()
        return said.online or not self._host_online.is_set()


def bdseq_metric(number: int) -> Metric:
    return Metric(number, INT64, "bdSeq")


def same_metrics(before: dict[str, Metric], now: dict[str, Metric]) -> bool:
    """Whether a birth that named `before` covers `now`: nothing new, nothing of another type."""
    return all(name in before and before[name].datatype == metric.datatype for name, metric in now.items())


def changes(before: dict[str, Metric], now: dict[str, Metric]) -> list[Metric]:
    return [metric.as_data() for name, metric in now.items() if before[name].value != metric.value]
