"""The YAML of a running plant changes: at once, with a restart, or not at all; and a command is decided by a person."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from gateway.shell.config.profiles import SHIPPED
from gateway.site import decode_site


@pytest.fixture
def own_site(tmp_path: Path) -> Path:
    """A copy of the demo site that a test may change."""
    return Path(shutil.copytree(SHIPPED / "demo", tmp_path / "site"))


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), "utf-8")


def take_out(site: Path, place: str) -> None:
    """All lines of the YAML that name the place."""
    for file in site.glob("*.yaml"):
        lines = file.read_text("utf-8").splitlines(keepends=True)
        file.write_text("".join(line for line in lines if place not in line), "utf-8")


async def test_policies_are_read_again_on_sighup_and_a_broken_yaml_is_told(
    new_gateway: Any, own_site: Path, wait_for: Any
) -> None:
    gateway = new_gateway({})
    await gateway.begin(own_site)
    change(own_site / "work.yaml", "orders_released_max: 14", "orders_released_max: 7")
    gateway.process.send_signal(signal.SIGHUP)
    await wait_for(lambda: len(gateway.logged("in force", source="site")) == 2, 20)  # the first one is the start's
    change(own_site / "work.yaml", "orders_released_max: 7", "orders_released_max: seven")
    gateway.process.send_signal(signal.SIGHUP)
    await wait_for(lambda: gateway.logged("alarm", alarm="site/not-reloaded"), 20)
    (alarm,) = gateway.logged("alarm", alarm="site/not-reloaded")
    assert "work.yaml:24:" in alarm["text"]
    assert await gateway.stop() == 0
    state = await gateway.state()
    assert decode_site(state.site).policies.orders_released_max == 7


async def test_a_start_is_refused_where_a_load_stands_at_a_place_that_is_gone(
    house: Any, new_gateway: Any, own_site: Path, wait_for: Any
) -> None:
    gateway = new_gateway({})
    await gateway.begin(own_site)
    announce = {"type": "announce_load", "load": "L1", "location": "RACK-4", "barcodes": []}
    gateway.drop("0001", [{"request_id": "1", "request": announce}])
    await wait_for(lambda: gateway.reply("0001"), 20)
    assert await gateway.stop() == 0
    take_out(own_site, "RACK-4")
    code, _, said = await house.run(house.stellwerk, "run", own_site, "--data", gateway.data, env=gateway.environment)
    assert code == 2
    assert "load L1 is booked at RACK-4" in said
    assert "Traceback" not in said


async def test_resolving_a_command_that_nobody_knows_is_refused_by_the_gateway(house: Any, new_gateway: Any) -> None:
    gateway = new_gateway({})
    await gateway.begin()
    code, said, _ = await house.run(
        house.stellwerk,
        "resolve",
        "C1/17",
        "--done",
        "--data",
        gateway.data,
        "--channel",
        "wms",
        env=gateway.environment,
    )
    assert (code, said.strip()) == (1, "C1/17: no open command C1/17")
    code, _, said = await house.run(
        house.stellwerk,
        "resolve",
        "C1/17",
        "--done",
        "--data",
        gateway.data,
        "--channel",
        "sap",
        env=gateway.environment,
    )
    assert code == 2
    assert "channels there: shop, wms" in said
    assert await gateway.stop() == 0
