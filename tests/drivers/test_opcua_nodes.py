"""Which node is which signal on a real OPC UA server, what its values may be, and what is counted and captured."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from opcua_plc import FAST, OpcuaPlc, assign, serving, sorter_spec

from drivers.capture import Capture
from drivers.opcua.driver import OpcuaDriver
from drivers.opcua.values import VARIANT, is_same, scalar, variant
from drivers.signals import BadValueError, Bound, WriteRefusedError
from gateway.site import Profile, Site
from gateway.site.checks import check
from gateway.site.node_path import path_steps

DI = "http://opcfoundation.org/UA/DI/"


def extended(profile: Any, more: list[dict[str, Any]], change: dict[str, dict[str, Any]] | None = None) -> Profile:
    """The shipped sorter with further signals, and with some changed."""
    data = profile("stellwerk-sorter", **FAST).model_dump()
    data["signals"] = [{**s, **(change or {}).get(s["name"], {})} for s in data["signals"]] + more
    return Profile.model_validate(data)


def driver_of(shown: Any, plc: OpcuaPlc, sink: Any, **options: Any) -> OpcuaDriver:
    connection = options.pop("connection", {})
    spec = sorter_spec(plc.url, **connection)
    return OpcuaDriver(spec, shown, sink, lambda: 0, rng=random.Random(1), **options)


# --- browse paths ---


def test_a_path_is_taken_apart() -> None:
    assert path_steps("/PLC/Status/HbPlc") == [(None, "PLC"), (None, "Status"), (None, "HbPlc")]
    assert path_steps("/Objects/PLC/A") == [(None, "PLC"), (None, "A")]
    assert path_steps(f"/[{DI}]DeviceSet/P&/1/&[x]/&&") == [
        (DI, "DeviceSet"),
        (None, "P/1"),
        (None, "[x]"),
        (None, "&"),
    ]
    for wrong in ("PLC/A", "/", "/PLC//A", "/PLC/", "/[urn:x", "/[]A", "/A&", "/x" * 40):
        with pytest.raises(ValueError, match=r"path|name|\[|&"):
            path_steps(wrong)


async def test_signals_are_found_by_path_also_in_another_namespace(profile, free_port, sink, running, until):
    way = "/Objects/PLC/Status/"
    shown = extended(
        profile,
        [{"name": "extra", "type": "float64", "node": f"/[{DI}]DeviceSet/Belt/Speed"}],
        {"hb_plc": {"node": f"{way}HbPlc"}, "mode": {"node": f"{way}Mode"}, "cmd_seq": {"node": "/PLC/Command/Seq"}},
    )
    lanes = [
        g.model_copy(update={"signals": tuple(
            s.model_copy(update={"node": "/PLC/Lane/{n}/" + s.node.rpartition(".")[2]}) for s in g.signals
        )}) if g.group == "lane" else g
        for g in shown.groups
    ]  # fmt: skip
    shown = shown.model_copy(update={"groups": tuple(lanes)})
    url = f"opc.tcp://127.0.0.1:{free_port()}/"
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), url, namespaces_before=2)) as plc:
        running(driver_of(shown, plc, sink))
        await until(lambda: sink.links("S1") == ["down"])
        assert f"no namespace '{DI}'" in sink.reason("S1")
        assert "of extra (" in sink.reason("S1")
        di = await plc.server.register_namespace(DI)
        devices = await plc.server.nodes.objects.add_object(di, "DeviceSet")
        second = type(sink)()
        running(driver_of(shown, plc, second))
        await until(lambda: second.links("S1") == ["down"])
        assert f"the path /[{DI}]DeviceSet/Belt/Speed of extra leads nowhere (BadNoMatch)" in second.reason("S1")
        belt = await devices.add_object(plc.index, "Belt")
        await belt.add_variable(plc.index, "Speed", 1.5, ua.VariantType.Double)
        third = type(sink)()
        driver = driver_of(shown, plc, third)
        running(driver)
        await until(lambda: third.reports("S1"))
        await plc.put("Lane.3.Full", True)
        await until(lambda: third.reports("S1")[-1].lanes[2].full)
        await driver.send(assign(seq=77))
        assert plc.wrote("Command.Seq") == [("Command.Seq", 77)]


async def test_a_path_to_two_nodes_is_refused(profile, free_port, sink, running, until):
    shown = extended(profile, [{"name": "extra", "type": "float64", "node": "/PLC/Twice"}])
    async with serving(OpcuaPlc(profile("stellwerk-sorter"), f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        for number in (1, 2):
            await plc.root.add_variable(ua.NodeId(f"Twice{number}", plc.index), f"{plc.index}:Twice", 0.0)
        running(driver_of(shown, plc, sink))
        await until(lambda: sink.links("S1") == ["down"])
        assert "the path /PLC/Twice of extra leads to 2 nodes: write the node's identifier" in sink.reason("S1")


# --- values ---


def bound(kind: str, scale: float = 1.0) -> Bound:
    return Bound("x", kind, True, "", 0, None, 1, "s=X", scale, "fast")


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("uint16", [0, 65535], [-1, 65536, 1.0, True, "1", None]),
        ("int16", [-32768, 32767], [32768]),
        ("uint32", [2**32 - 1], [2**32]),
        ("int32", [-(2**31)], [2**31]),
        ("uint64", [2**64 - 1], [-1, 2**64]),
        ("int64", [-(2**63), 2**63 - 1], [2**63]),
        ("float32", [1.5, 3], [float("nan"), float("inf"), True, "1"]),
        ("float64", [1e300], [float("-inf"), None]),
        ("bool", [True, False], [1, 0, "true"]),
        ("string", ["", "x", None], [1]),
        ("bcd16", [], [1]),
    ],
)
def test_values_are_held_to_the_profiles_type(kind: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        found = scalar(bound(kind), ua.DataValue(ua.Variant(value, VARIANT[kind])))
        assert found == ("" if value is None else value)
    for value in bad:
        data = ua.DataValue()
        data.Value = ua.Variant()
        data.Value.Value = value
        with pytest.raises(BadValueError, match=f"not a {kind}"):
            scalar(bound(kind), data)


def test_values_go_into_the_nodes_own_type() -> None:
    assert variant(bound("uint16"), 7, ua.VariantType.Int64) == ua.Variant(7, ua.VariantType.Int64)
    assert variant(bound("float32", 0.1), 12, ua.VariantType.Double).Value == pytest.approx(120)
    assert variant(bound("int16", 0.1), 1.2, ua.VariantType.Int16) == ua.Variant(12, ua.VariantType.Int16)
    kinds = ua.VariantType
    bad = [(300, kinds.Byte), (-1, kinds.UInt64), ("x", kinds.Int16), (1, kinds.String), (1, kinds.Boolean)]
    for value, kind in [*bad, (1, kinds.DateTime)]:
        with pytest.raises(WriteRefusedError, match="does not fit"):
            variant(bound("uint32"), value, kind)
    assert is_same(ua.Variant(0.1, ua.VariantType.Float), ua.DataValue(ua.Variant(0.10000000149011612)))
    assert not is_same(ua.Variant(0.1, ua.VariantType.Double), ua.DataValue(ua.Variant(0.10000000149011612)))


# --- the subscription's settings ---


def has_deadband(item_filter: Any) -> bool:
    """By name: asyncua has two classes DataChangeFilter, and reads the other one than `ua` names."""
    return type(item_filter).__name__ == "DataChangeFilter"


async def test_what_the_server_makes_of_our_settings_is_told_once(profile, free_port, sink, running, until):
    shown = extended(
        profile,
        [
            {"name": "warm", "type": "float64", "node": "s=Warm", "deadband": 0.5, "scale": 0.1},
            {"name": "big", "type": "uint64", "node": "s=Big"},
        ],
    )
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        service = plc.server.iserver.subscription_service
        plain, modified = service.create_subscription, []

        async def slow(params: ua.CreateSubscriptionParameters, *args: Any, **kwargs: Any) -> Any:
            params.RequestedPublishingInterval = 100.0
            return await plain(params, *args, **kwargs)

        service.create_subscription = slow
        service.modify_subscription = lambda params: modified.append(params) or ua.ModifySubscriptionResult()
        plc.server.iserver.max_monitored_item_queue_size = 2
        connection = {"queue_size": 8, "sampling_interval_ms": 25}
        driver = driver_of(shown, plc, sink, connection=connection)
        running(driver)
        await until(lambda: sink.reports("S1"))
        assert [problem.partition(": ")[2].partition(":")[0] for _, signal, _, problem in sink.bad] == [
            "the publishing interval was asked for as 20 ms, the server made it 100 ms",
            "the queue size was asked for as 8, the server made it 2",
            "the sampling interval was asked for as 25 ms, the server made it 100 ms",
        ]
        assert (modified[0].RequestedPublishingInterval, modified[0].RequestedMaxKeepAliveCount) == (100.0, 10)
        (held,) = plc.subscriptions.values()
        items = {str(i.read_value_id.NodeId.Identifier): i for i in held.monitored_item_srv._monitored_items.values()}
        assert items["Warm"].filter.DeadbandValue == pytest.approx(5.0), "in the node's own unit"
        assert not has_deadband(items["Status.Mode"].filter)
        assert driver.figures()[0].bad_values == 3
        await service.delete_subscriptions(list(plc.subscriptions))
        await until(lambda: any("built anew" in entry[3] for entry in sink.bad))
        assert len(sink.bad) == 4, "the same is not told a second time"


async def test_a_refused_deadband_is_told_and_done_without(profile, free_port, sink, running, until):
    shown = extended(profile, [{"name": "warm", "type": "float32", "node": "s=Warm", "deadband": 0.5}])
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        service = plc.server.iserver.subscription_service
        plain = service.create_monitored_items

        async def strict(params: ua.CreateMonitoredItemsParameters) -> Any:
            results = await plain(params)
            for item, result in zip(params.ItemsToCreate, results, strict=True):
                if has_deadband(item.RequestedParameters.Filter):
                    result.StatusCode = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadMonitoredItemFilterUnsupported))
            return results

        service.create_monitored_items = strict
        running(driver_of(shown, plc, sink))
        await until(lambda: "up" in sink.links("S1"))
        assert "refuses the deadband of 1 signals, warm for one: watched without it" in sink.bad[0][3]


# --- what is counted and captured ---


async def test_calls_and_changes_are_counted_and_captured(profile, free_port, sink, running, until, tmp_path):
    shown = profile("stellwerk-sorter", **FAST)
    async with serving(OpcuaPlc(shown, f"opc.tcp://127.0.0.1:{free_port()}/")) as plc:
        capture = Capture(tmp_path / "wire.jsonl", lambda: 123)
        driver = driver_of(shown, plc, sink, capture=capture)
        assert driver.figures()[0].data_age_ms is None
        running(driver)
        await until(lambda: sink.reports("S1"))
        await driver.send(assign(seq=7))
        await plc.put("Lane.1.Count", 4)
        await until(lambda: sink.reports("S1")[-1].lanes[0].count == 4)
        (figures,) = driver.figures()
        assert (figures.protocol, figures.connects, figures.errors, figures.bad_values) == ("opcua", 1, 0, 0)
        assert figures.requests >= 10
        assert sum(figures.latency_buckets) == figures.requests
        assert figures.messages_in > 0
        assert figures.data_age_ms is not None
        assert figures.data_age_ms < 2000
        await plc.put_bad("Lane.2.Full")
        await until(lambda: driver.figures()[0].bad_values == 1)
        lines = [json.loads(line) for line in (tmp_path / "wire.jsonl").read_text("utf-8").splitlines()]
        assert {(entry["link"], entry["protocol"]) for entry in lines} == {(f"S1 {plc.url}", "opcua")}
        events = {(entry["way"], entry["event"]) for entry in lines}
        assert events == {("in", "namespaces"), ("in", "read"), ("in", "change"), ("out", "write"), ("in", "write")}
        node = f"ns={plc.index};s=Command.Seq"
        written = [e for e in lines if e["event"] == "write" and e["node"] == node]
        assert [(e["way"], e.get("value"), e.get("type"), e.get("status")) for e in written] == [
            ("out", 7, "UInt32", None), ("in", None, None, 0),
        ]  # fmt: skip
        changes = [e for e in lines if e["event"] == "change" and e["node"].endswith("s=Lane.1.Count")]
        assert (changes[-1]["value"], changes[-1]["type"], changes[-1]["status"]) == (4, "UInt16", 0)
        capture.close()


# --- what the configuration check says ---


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ({"node": "/PLC//X"}, "a browse path that can't be followed: a name between two slashes is empty"),
        ({"node": "/[urn:x/X"}, "a browse path that can't be followed: a [ has no ]"),
        ({"node": "i=12x"}, "which is no number from 0 to 4294967295"),
        ({"node": "g=12"}, "which is no GUID"),
        ({"node": "X"}, "which is no identifier"),
        ({"type": "bcd32"}, "which only Modbus has here"),
        ({"type": "string", "deadband": 1}, "only numbers have a deadband"),
        ({"access": "write", "deadband": 1}, "is written, not watched"),
        ({"evidence": "counter", "deadband": 1}, "every change of it counts"),
        ({"name": "state", "node": "s=Status.State", "deadband": 1}, "every change of it counts"),
    ],
)
def test_the_check_refuses_what_cant_be_watched(profile: Any, signal: dict[str, Any], message: str) -> None:
    more = [{"name": "extra", "type": "uint16", "node": "s=X", **signal}]
    assert any(message in found for found in findings(extended(profile, more)))


def test_the_check_takes_paths_and_wide_values(profile: Any) -> None:
    for kind in ("uint64", "int64", "float64"):
        more = [{"name": "extra", "type": kind, "node": f"/[{DI}]DeviceSet/X", "deadband": 2}]
        assert findings(extended(profile, more)) == []


def test_the_check_of_a_method(profile: Any) -> None:
    method = {"object": "s=PLC", "method": "/PLC/Take"}
    shown = profile("stellwerk-sorter", method=method)
    assert len(findings(shown)) == 9, "the arguments still have nodes"
    bare = [s.model_copy(update={"node": None}) if s.name.startswith("cmd_") else s for s in shown.signals]
    shown = shown.model_copy(update={"signals": tuple(bare)})
    assert findings(shown) == []
    wrong = shown.model_copy(update={"handshake": shown.handshake.model_copy(update={
        "verify": True, "method": shown.handshake.method.model_copy(update={"object": "PLC", "method": "/PLC/{n}"}),
    })})  # fmt: skip
    assert [found.partition(": ")[2] for found in findings(wrong)] == [
        "object is the node 'PLC', which is no identifier",
        "method is the node '/PLC/{n}', but a method stands in no group",
        "the arguments of a method can't be read back",
    ]


def findings(shown: Profile) -> list[str]:
    site = Site.model_validate({"site": {"id": "s", "name": "s"}, "profiles": [shown.model_dump()]})
    return [found.message for found in check(site)]
