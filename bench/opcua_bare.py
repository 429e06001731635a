"""The floor of `bench.opcua`: a bare asyncua client with the same subscription, the same Read and the same Writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy, Subscription
from asyncua.ua.attribute_ids import AttributeIds

from drivers.signals import Bound, bind
from gateway.site import Profile

PUBLISHING_MS = 20
QUEUE = 10
ITEMS_PER_CALL = 500
ENTRIES = 32
FIELDS = ("seq", "type", "track_id", "point", "lane", "result", "plc_ms", "barcodes")
PAYLOAD = ("epoch", "code", "track_id", "lane_1", "lane_2", "deadline_ms", "seq")
_ASSIGN = 10
_SEQ_FIRST = 1_000_000
"""Above whatever the driver has sent before."""
_VARIANT = {"uint16": ua.VariantType.UInt16, "uint32": ua.VariantType.UInt32}


class BareClient:
    """Answers each scan of the sorter with one Read and two Writes."""

    def __init__(self, client: Client, index: int, signals: dict[str, Bound]) -> None:
        self._client = client
        self._signals = signals
        self._ids = {name: ua.NodeId.from_string(f"ns={index};{s.node}") for name, s in signals.items()}
        self._seq = _SEQ_FIRST

    async def subscription(self) -> Subscription:
        """With nothing in it yet."""
        params = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=PUBLISHING_MS, RequestedLifetimeCount=1500, RequestedMaxKeepAliveCount=50,
            MaxNotificationsPerPublish=1000, PublishingEnabled=True, Priority=0,
        )  # fmt: skip
        return await self._client.create_subscription(params, queue_maxsize=100_000, overflow=OverflowPolicy.DISCONNECT)

    async def watch(self, subscription: Subscription) -> None:
        """All levels, the ring's entries apart."""
        watched = [self._ids[n] for n, s in self._signals.items() if not s.writable and not n.startswith("event.")]
        for start in range(0, len(watched), ITEMS_PER_CALL):
            part = [self._client.get_node(node) for node in watched[start : start + ITEMS_PER_CALL]]
            await subscription.subscribe_data_change(part, queuesize=QUEUE, sampling_interval=ua.Double(0))

    async def answer(self, subscription: Subscription) -> None:
        """For ever: each new number of the ring's counter is read, assigned and consumed."""
        counter, done = self._ids["evt_wr"], None
        async for event in subscription:
            if not isinstance(event, DataChangeEvent) or event.node.nodeid != counter:
                continue
            written = event.data.monitored_item.Value.Value.Value
            for number in range(written if done is None else done + 1, written + 1):
                await self._assign(number)
            done = written

    async def _assign(self, number: int) -> None:
        slot = (number - 1) % ENTRIES + 1
        fields = [self._ids[f"event.{slot}.{field}"] for field in FIELDS]
        entry = await self._client.uaclient.read_attributes(fields, AttributeIds.Value)
        track = entry[2].Value
        assert track is not None
        self._seq += 1
        values = dict(zip(PAYLOAD, (1, _ASSIGN, track.Value, 2, 8, 1_000, self._seq), strict=True))
        await self._write({f"cmd_{name}": value for name, value in values.items()})
        await self._write({"evt_rd": number})

    async def _write(self, values: dict[str, int]) -> None:
        data = [ua.DataValue(ua.Variant(v, _VARIANT[self._signals[n].type]), None) for n, v in values.items()]
        await self._client.uaclient.write_attributes([self._ids[name] for name in values], data)


@contextlib.asynccontextmanager
async def answering(port: int, profile: Profile, lanes: int) -> AsyncIterator[None]:
    """A bare client at work; ready when its subscription stands."""
    async with Client(f"opc.tcp://127.0.0.1:{port}/", timeout=10) as client:
        index = await client.get_namespace_index(profile.namespace)
        bare = BareClient(client, index, bind(profile, lanes=lanes))
        subscription = await bare.subscription()
        task = asyncio.create_task(bare.answer(subscription))
        await bare.watch(subscription)
        await asyncio.sleep(1.0)
        try:
            yield
        finally:
            failed = task.exception() if task.done() else None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if failed is not None:
                raise failed
