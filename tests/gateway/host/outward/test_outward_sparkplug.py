"""The Sparkplug B edge node at Mosquitto, read by pysparkplug: an implementation that is not ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiomqtt
import peers
import pytest
import structlog
from outward_rig import at_work, figures_of

from gateway.contract import LinkChanged, SetMode
from gateway.host.outward import Outward
from gateway.host.outward.sparkplug_payload import INT64, STRING, Metric, asks_for_rebirth, encode
from gateway.host.store import Store
from gateway.shell.runtime import Runtime
from gateway.site import OutwardSpec

EDGE = "stellwerk"


@pytest.fixture
def sparkplug(request: pytest.FixtureRequest) -> Any:
    try:
        import pysparkplug
    except ImportError:
        peers.missing(request.node, "pysparkplug", "pip install --no-deps pysparkplug==0.6.1")
    peers.met(request.node, "pysparkplug, as a Sparkplug host")
    return pysparkplug


class Said:
    """One message of the node as an independent reader understands it."""

    def __init__(self, sparkplug: Any, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        _, _, self.verb, _, *device = topic.split("/")
        self.device = device[0] if device else ""
        kind = {
            "NBIRTH": "NBirth", "NDEATH": "NDeath", "NDATA": "NData",
            "DBIRTH": "DBirth", "DDEATH": "DDeath", "DDATA": "DData",
        }[self.verb]  # fmt: skip
        self.kind: Any = getattr(sparkplug, kind)
        self.raw, self.qos, self.retain = payload, qos, retain


class ScadaHost:
    """Follows one group as a Sparkplug host: births give names to what data says by alias."""

    def __init__(self, sparkplug: Any, client: aiomqtt.Client, group: str) -> None:
        self._sparkplug = sparkplug
        self.client = client
        self.group = group
        self.said: list[Said] = []
        self.births: dict[str, Any] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.seqs: list[int] = []
        self.deaths: list[int] = []
        self.bdseqs: list[int] = []

    async def listen(self) -> None:
        async for message in self.client.messages:
            topic, payload = str(message.topic), message.payload
            assert isinstance(payload, bytes)
            if "/NCMD/" not in topic:
                self._take(Said(self._sparkplug, topic, payload, message.qos, message.retain))

    def _take(self, said: Said) -> None:
        self.said.append(said)
        if said.verb == "NDEATH":
            death = said.kind.decode(said.raw)
            self.deaths.append(death.bd_seq_metric.value if hasattr(death, "bd_seq_metric") else death.metrics[0].value)
            return
        if said.verb.endswith("BIRTH"):
            payload = said.kind.decode(said.raw)
            self.births[said.device] = payload
            self.values[said.device] = {m.name: m.value for m in payload.metrics}
        elif said.verb.endswith("DATA"):
            payload = said.kind.decode(said.raw, birth=self.births[said.device])
            self.values[said.device].update({m.name: m.value for m in payload.metrics})
        else:
            payload = said.kind.decode(said.raw)
            self.values.pop(said.device)
        if said.verb == "NBIRTH":
            self.bdseqs.append(self.values[""]["bdSeq"])
            self.seqs = []
        self.seqs.append(payload.seq)

    def count(self, verb: str, device: str = "") -> int:
        return sum(said.verb == verb and said.device == device for said in self.said)

    async def ask_rebirth(self) -> None:
        metric = self._sparkplug.Metric(
            timestamp=1, name="Node Control/Rebirth", datatype=self._sparkplug.DataType.BOOLEAN, value=True
        )
        command = self._sparkplug.NCmd(timestamp=1, metrics=(metric,)).encode(include_dtypes=True)
        await self.client.publish(f"spBv1.0/{self.group}/NCMD/{EDGE}", command)


@asynccontextmanager
async def scada(sparkplug: Any, port: int, group: str) -> AsyncIterator[ScadaHost]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(f"spBv1.0/{group}/#", qos=1)
        host = ScadaHost(sparkplug, client, group)
        task = asyncio.create_task(host.listen())
        try:
            yield host
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def edge(running: Runtime, folder: Path, port: int, group: str, **more: Any) -> AsyncIterator[Outward]:
    log: Any = structlog.testing.CapturingLogger()
    store = await Store.open(folder / "host.sqlite", Outward.SCHEMA)
    node = {"broker": {"port": port}, "group_id": group, "edge_node_id": EDGE, "sample_ms": 50, **more}
    outward = await Outward.open(
        store, OutwardSpec.model_validate({"sparkplug": node}), running.kernel.site, running, log
    )
    try:
        async with at_work(outward):
            yield outward
    finally:
        await store.close()


async def test_births_data_and_deaths_as_the_specification_has_them(
    running: Runtime, tmp_path: Path, wait: Any, outside_broker: Callable[[], int], sparkplug: Any
) -> None:
    port, group = outside_broker(), f"test-{uuid4().hex}"
    async with scada(sparkplug, port, group) as host:
        async with edge(running, tmp_path, port, group) as outward:
            await wait(lambda: "" in host.values and host.count("DBIRTH", "WS1") == 1)  # a workstation has no link
            assert host.values[""]["Node Control/Rebirth"] is False
            assert host.values[""]["bdSeq"] == 0
            assert "C1" not in host.values  # its link is down
            running.inbox.post(LinkChanged("C1", "up", "test"))
            await wait(lambda: "C1" in host.values)
            assert host.values["C1"]["Mode"] == "automatic"
            assert host.values["C1"]["Usable"] is False
            await running.ask("op", "r1", SetMode("C1", "manual"))
            await wait(lambda: host.values["C1"]["Mode"] == "manual")
            assert host.count("DDATA", "C1") >= 1
            running.inbox.telemetry("C1", {"current_a": 1.5, "warm": True, "note": "ok"})
            await wait(lambda: host.values["C1"].get("Telemetry/current_a") == 1.5)  # by a new birth
            assert host.count("DBIRTH", "C1") == 2
            running.inbox.telemetry("C1", {"current_a": 2})
            await wait(lambda: host.values["C1"].get("Telemetry/current_a") == 2.0)
            assert host.count("DBIRTH", "C1") == 2
            running.inbox.post(LinkChanged("C1", "down", "cable"))
            await wait(lambda: "C1" not in host.values)
            assert (await figures_of(outward, "sparkplug")).delivered == len(host.said)
        await wait(lambda: host.deaths == [0])
    assert host.seqs == [n % 256 for n in range(len(host.seqs))]
    assert {(said.qos, said.retain) for said in host.said if said.verb != "NDEATH"} == {(0, False)}
    aliases = [m.alias for birth in host.births.values() for m in birth.metrics if m.alias is not None]
    assert len(aliases) == len(set(aliases)) > 10
    assert [m.name for m in host.births[""].metrics if m.alias is None] == ["bdSeq", "Node Control/Rebirth"]


async def test_a_rebirth_is_answered_and_the_count_of_births_goes_on_over_restarts(
    running: Runtime, tmp_path: Path, wait: Any, outside_broker: Callable[[], int], sparkplug: Any
) -> None:
    port, group = outside_broker(), f"test-{uuid4().hex}"
    async with scada(sparkplug, port, group) as host:
        async with edge(running, tmp_path, port, group):
            await wait(lambda: host.count("DBIRTH", "WS1") == 1)
            await host.client.publish(f"spBv1.0/{group}/NCMD/{EDGE}", b"\xff\xffno payload")
            await host.ask_rebirth()
            await wait(lambda: host.count("NBIRTH") == 2 and host.count("DBIRTH", "WS1") == 2)
        await wait(lambda: len(host.deaths) == 1)
        async with edge(running, tmp_path, port, group):
            await wait(lambda: host.count("NBIRTH") == 3)
            # Thrown out by the broker, it dies by its will and is born again.
            who = f"stellwerk-{running.kernel.site.site.id}-sparkplug"
            async with aiomqtt.Client("127.0.0.1", port, identifier=who):
                await wait(lambda: len(host.deaths) == 2)
            await wait(lambda: host.count("NBIRTH") >= 4)
    assert host.bdseqs[:3] == [0, 0, 1]
    assert host.bdseqs[3] > 1
    assert host.deaths[:2] == [0, 1]


async def test_with_a_primary_host_it_is_born_while_that_is_online(
    running: Runtime, tmp_path: Path, wait: Any, outside_broker: Callable[[], int], sparkplug: Any
) -> None:
    port, group, who = outside_broker(), f"test-{uuid4().hex}", f"scada-{uuid4().hex}"

    async def says(online: bool, at: int) -> None:
        state = json.dumps({"online": online, "timestamp": at}).encode()
        await host.client.publish(f"spBv1.0/STATE/{who}", state, qos=1, retain=True)

    async with scada(sparkplug, port, group) as host:
        try:
            await says(False, 1)
            async with edge(running, tmp_path, port, group, primary_host=who) as outward:
                assert outward._node is not None
                node = outward._node
                await wait(lambda: node._host_ns == 1)
                assert host.said == []
                await says(True, 2)
                await wait(lambda: host.count("NBIRTH") == 1)
                await says(False, 1)  # late, from before it came
                await says(False, 3)
                await wait(lambda: len(host.deaths) == 1)
                await says(True, 4)
                await wait(lambda: host.count("NBIRTH") == 2)
        finally:
            await host.client.publish(f"spBv1.0/STATE/{who}", b"", qos=1, retain=True)


def test_payloads_are_read_alike_by_another_implementation(sparkplug: Any) -> None:
    metrics = [Metric(-5, INT64, "count", 7), Metric("Ö", STRING, "name", 8)]
    data = encode(metrics, 1_700_000_000_123_000_000, 255, birth=True)
    read = sparkplug.DBirth.decode(data)
    assert (read.seq, read.timestamp) == (255, 1_700_000_000_123)
    assert [(m.name, m.alias, m.value, m.datatype.value) for m in read.metrics] == [
        ("count", 7, -5, 4), ("name", 8, "Ö", 12),
    ]  # fmt: skip
    short = encode([m.as_data() for m in metrics], 1, 0, birth=False)
    assert len(short) < len(data)
    assert [m.value for m in sparkplug.DData.decode(short, birth=read).metrics] == [-5, "Ö"]
    assert not asks_for_rebirth(b"\x12\xff", "Node Control/Rebirth")
