"""docs/integration.md against the gateway: what it tells a reader to type works, and its tables are whole."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

from typer.testing import CliRunner

from gateway.client.orders import OrderState, StepKind
from gateway.commands.order import app
from gateway.host.api.problem import STATUS_BY_CODE

GUIDE = (Path(__file__).parents[3] / "docs" / "integration.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    return GUIDE.partition(f"\n{heading}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


async def test_what_a_reader_types_works(gateway: Any) -> None:
    env = {**os.environ, "STELLWERK_URL": gateway.direct, "STELLWERK_KEY": gateway.house.keys["operator"]}
    curl = next(block for block in blocks("sh") if "curl" in block)
    typed = "\n".join(line for line in curl.splitlines() if not line.startswith("export "))
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-ec", typed.replace("curl ", "curl -sS --fail-with-body ")],
        env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert '"request_id":"create-4711"' in done.stdout
    assert "4711/ship (sort TOTE-1, now at RACK-1)" in done.stdout
    orders = next(block for block in blocks("sh") if "stellwerk order" in block)
    for line in orders.splitlines():
        words = shlex.split(line)[2:]
        found = await asyncio.to_thread(CliRunner().invoke, app, words, env=env)
        assert found.exit_code == 0, (line, found.output)
    for code in blocks("python"):
        ran = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60
        )
        assert (ran.returncode, ran.stderr) == (0, "")
    assert {name: order.state for name, order in gateway.state.orders.items()} == {
        "4711": "released", "4712": "cancelled", "4713": "released",
    }  # fmt: skip
    assert gateway.state.orders["4713"].priority == 1


def test_every_code_has_its_line_and_its_status() -> None:
    table = section("## When it is refused")
    told = {code: int(status) for code, status in re.findall(r"^\| `(\w+)` \| (\d+) \|", table, re.MULTILINE)}
    assert told == STATUS_BY_CODE


def test_every_state_and_kind_of_step_has_its_line() -> None:
    model = first_cells(section("## The model"))
    assert set(model) >= {*get_args(OrderState), *get_args(StepKind)}
    assert set(model) - {"Idempotency-Key"} == {*get_args(OrderState), *get_args(StepKind)}
