"""`stellwerk demo`: what a visitor and the acceptance run see, and that nothing of it stays."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

ORDERS = 4


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, as the system lists them."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            found += [child, *descendants(child)]
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def bad_lines(log: Path) -> list[str]:
    return [line for line in log.read_text("utf-8").splitlines() if json.loads(line)["level"] in ("error", "critical")]


async def test_two_seeds_end_well(house: Any, tmp_path: Path) -> None:
    async def show(seed: int) -> tuple[int, dict[str, Any], Path]:
        data, figures = tmp_path / f"seed-{seed}", tmp_path / f"seed-{seed}.json"
        code, out, said = await house.run(
            house.stellwerk, "demo", "--orders", str(ORDERS), "--seed", str(seed), "--speed", "20", "--exit",
            "--json", figures, "--data", data,
        )  # fmt: skip
        assert figures.exists(), out + said
        assert code == 0, out + said
        return code, json.loads(figures.read_text()), data

    for _, figures, data in await asyncio.gather(show(1), show(7)):
        orders, sorts = figures["orders"], figures["sorts"]
        assert orders["accepted"] == ORDERS
        assert orders["open"] == 0
        assert orders["finished"] + orders["failed"] + orders["cancelled"] == ORDERS
        assert sum(sorts["by_lane"].values()) == sorts["total"] > 0
        assert 0 <= sorts["reject"] <= sorts["total"]
        assert figures["commands"]["sent"] > 0
        assert figures["commands"]["duplicated"] == 0
        assert figures["loads"]["lost"] == 0
        assert figures["loads"]["misplaced"] == {}
        latency = figures["latency_ms"]
        assert 0 < latency["scan_to_divert_p50"] <= latency["scan_to_divert_p99"]
        assert figures["wall_s"] > 0
        assert figures["gateway"] == "healthy"
        assert bad_lines(data / "gateway.log") == []
        assert (data / "simulators.log").read_text() == ""


async def test_no_process_outlives_it(house: Any, tmp_path: Path, wait_for: Callable[..., Any]) -> None:
    """The end comes in the middle of the work; SIGKILL leaves it to the simulators to notice."""
    numbers = (signal.SIGINT, signal.SIGKILL)
    await asyncio.gather(*(end_in_the_middle(house, tmp_path / number.name, wait_for, number) for number in numbers))


async def end_in_the_middle(house: Any, data: Path, wait_for: Callable[..., Any], number: signal.Signals) -> None:
    with (data.with_suffix(".out")).open("wb") as out:
        process = await house.start(
            house.stellwerk, "demo", "--orders", "0", "--speed", "5", "--data", data, stdout=out, stderr=out
        )

    def said() -> str:
        return data.with_suffix(".out").read_text("utf-8")

    answers = data / "inbox" / "wms" / "done"
    await wait_for(lambda: list(answers.glob("*.reply.json")) or process.returncode is not None, 40)
    assert process.returncode is None, said()
    below = descendants(process.pid)
    assert below, "the simulators are a process of their own"
    process.send_signal(number)
    code = await asyncio.wait_for(process.wait(), 20)
    await wait_for(lambda: not any(map(is_alive, below)), 15, f"{below} are gone")
    if number is signal.SIGKILL:
        assert code == -signal.SIGKILL
        return
    assert code == 0, said()
    assert "wall time" in said()
    assert bad_lines(data / "gateway.log") == []
