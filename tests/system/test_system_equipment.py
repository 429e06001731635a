"""What an integrator uses beside the running gateway: doctor, browse, metrics, a capture."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.shell.config.profiles import SHIPPED

WIRED = ["C1", "C2", "S1", "RC1", "AGV1", "AGV2", "AGV3", "AGV4", "AGV5", "AGV6"]


async def test_doctor_finds_a_whole_plant_well(house: Any, plant: Any) -> None:
    code, out, said = await house.run(house.stellwerk, "doctor", house.demo_site, "--json", env=plant.environment)
    assert code == 0, out + said
    found = {each["device"]: each for each in json.loads(out)}
    assert list(found) == WIRED
    for each in found.values():
        steps = {check["step"]: check["verdict"] for check in each["checks"]}
        assert set(steps) == {"name", "tcp", "handshake", "security", "identity", "signals", "latency", "clock"}
        assert "bad" not in steps.values()
        assert each["readings"]
        assert not [reading for reading in each["readings"] if reading["problem"]]
        assert 0 < each["latency_p50_ms"] <= each["latency_p99_ms"]
    zones = {reading["signal"]: reading for reading in found["C1"]["readings"]}
    assert zones["zone.1.occupied"]["where"] == "holding 100 bit 0"
    assert zones["state"]["value"] == 6
    assert abs(found["AGV1"]["clock_offset_ms"]) < 1000


async def test_doctor_says_what_to_do_about_a_plant_that_is_away(house: Any) -> None:
    code, out, _ = await house.run(house.stellwerk, "doctor", house.demo_site, env=house.devices_away)
    assert code == 1
    assert out.count("refused the connection") == len(WIRED)
    assert "→ the machine is there but nothing listens: check the port" in out
    assert out.endswith("10 devices looked at: 0 good, 10 with something bad\n")


async def test_doctor_names_a_register_that_is_not_what_the_profile_says(
    house: Any, plant: Any, tmp_path: Path
) -> None:
    site = Path(shutil.copytree(SHIPPED / "demo", tmp_path / "site"))
    profile = (SHIPPED / "profiles" / "stellwerk-conveyor.yaml").read_text("utf-8")
    moved = profile.replace("profile: stellwerk-conveyor", "profile: moved").replace("address: 9}", "address: 60000}")
    assert moved.count("60000") == 1
    body = "\n".join(f"    {line}" for line in moved.splitlines() if not line.startswith("#"))
    (site / "moved.yaml").write_text(f"profiles:\n  -\n{body}\n", "utf-8")
    devices = (site / "devices.yaml").read_text("utf-8")
    (site / "devices.yaml").write_text(devices.replace("profile: stellwerk-conveyor", "profile: moved", 1), "utf-8")
    code, out, said = await house.run(house.stellwerk, "doctor", site, "--device", "C1", env=plant.environment)
    assert code == 1, out + said
    (line,) = (line for line in out.splitlines() if line.strip().startswith("state "))
    assert "holding 60000" in line
    assert "BAD" in line


@pytest.mark.parametrize("command", ["doctor", "browse"])
async def test_a_device_that_is_not_there_is_refused_with_those_that_are(house: Any, command: str) -> None:
    device = ["--device", "C9"] if command == "doctor" else ["C9"]
    code, _, said = await house.run(house.stellwerk, command, house.demo_site, *device, env=house.devices_away)
    assert code == 2
    assert "C9" in said
    assert "C1, C2, S1" in " ".join(said.split())


async def test_browse_shows_registers_nodes_and_topics(house: Any, plant: Any) -> None:
    for device, words in (
        ("C1", ["holding 100", "zone.1.occupied"]),
        ("S1", ["Status.HbPlc", "variable UInt16"]),
        ("AGV1", ["uagv/v2/stellwerk/agv-1", "state  topic"]),
    ):
        code, out, said = await house.run(house.stellwerk, "browse", house.demo_site, device, env=plant.environment)
        assert code == 0, said
        assert [word for word in words if word not in out] == []


async def test_browse_of_a_device_that_is_away_names_doctor(house: Any) -> None:
    code, _, said = await house.run(house.stellwerk, "browse", house.demo_site, "C1", env=house.devices_away)
    assert code == 1
    assert "stellwerk doctor --device C1" in said.replace("`", "")


async def test_a_running_gateway_offers_figures_and_records_its_wires(
    new_gateway: Any, plant: Any, tmp_path: Path, wait_for: Any
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = Path(shutil.copytree(SHIPPED / "demo", tmp_path / "site"))
    (site / "metrics.yaml").write_text(f"metrics: {{port: {port}}}\n", "utf-8")
    capture = tmp_path / "wires.jsonl"
    gateway = new_gateway(plant.environment)
    await gateway.begin(site, "--capture", capture)

    async def connected() -> dict[str, float] | None:
        page = await asyncio.to_thread(_read, f"http://127.0.0.1:{port}/metrics")
        families = {family.name: family for family in text_string_to_metric_families(page)}
        found = {s.labels["device"]: s.value for s in families["stellwerk_link_connects"].samples}
        asked = {s.labels["device"]: s.value for s in families["stellwerk_link_requests"].samples}
        heard = families["stellwerk_link_data_age_seconds"].samples
        all_there = set(found) == set(WIRED) and min(found.values()) >= 1 and len(heard) == len(WIRED)
        return found if all_there and asked["C1"] > 10 else None

    await wait_for(connected, 20, "figures of every link")
    assert await gateway.stop() == 0
    lines = [json.loads(line) for line in capture.read_bytes().splitlines()]
    assert {line["protocol"] for line in lines} == {"modbus", "opcua", "vda5050"}
    assert {line["way"] for line in lines} == {"in", "out"}


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()
