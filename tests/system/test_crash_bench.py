"""A slice of the crash bench with the real processes, and the proof that its ledger sees what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench import crash, crash_host
from bench.crash_course import Report
from bench.crash_gateway import LogTail
from bench.crash_ledger import Balance, Ledger, Truth

KILLS = 3
SEED = 131
"""After a request, after an answer, at start: and all of them soon."""
BENCH_S_MAX = 110.0


async def bench_crash(house: Any, *arguments: object) -> tuple[int, str, str]:
    """The bench to its end, on a machine that may be busy: exit code, stdout, stderr."""
    pipe = asyncio.subprocess.PIPE
    process = await house.start(sys.executable, "-m", "bench.crash", *map(str, arguments), stdout=pipe, stderr=pipe)
    out, said = await asyncio.wait_for(process.communicate(), BENCH_S_MAX)
    return process.returncode, out.decode(), said.decode()


def commands_running() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found.append(path.read_bytes().decode("utf-8", "replace"))
    return found


async def test_kills_lose_nothing_and_repeat_nothing(house: Any, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    arguments = ("--kills", KILLS, "--seed", SEED, "--speed", 20, "--open", 8)
    code, out, said = await bench_crash(house, *arguments, "--json", figures, "--data", tmp_path / "data")
    assert code == 0, out + said
    numbers = json.loads(figures.read_text("utf-8"))
    assert numbers["balanced"]
    assert numbers["wrong"] == {}
    assert numbers["kills"] == len(numbers["killed_at_age_s"]) == sum(numbers["kill_moments"].values()) == KILLS
    assert numbers["restarts"]["starts"] == KILLS + 1
    orders = numbers["orders"]
    assert orders["acknowledged"] >= 8
    assert orders["finished"] + orders["failed"] + orders["cancelled"] == orders["acknowledged"]
    assert numbers["requests"]["unanswered"] == numbers["requests"]["duplicate_answers_that_differ"] == 0
    assert numbers["commands"]["executed"] > 0
    assert numbers["commands"]["executed_twice"] == 0
    assert numbers["complaints"] == numbers["bad_stops"] == []
    assert (tmp_path / "data" / "simulators.log").read_text("utf-8") == ""
    assert "balance     good" in out


# --- people: whatever lies before them is somebody's work ---


@pytest.mark.parametrize(
    ("steps", "place", "task"),
    [
        (["ship"], "LANE-R", "O1/ship/clarify1"),
        (["pick", "ship"], "LANE-R", "O1/ship/clarify1"),
        (["decant", "store"], "LANE-R", "O1/decant/clarify1"),
        (["pick", "ship"], "WS1-BENCH", "O1/pick"),
        (["ship"], "WS1-BENCH", ""),
    ],
)
def test_a_person_knows_the_work_before_them(steps: list[str], place: str, task: str) -> None:
    assert crash_host.task_before("O1", steps, place, 0) == task


# --- the ledger: each thing that can be wrong is seen ---


def sort_order(number: int) -> dict[str, Any]:
    step = {"step": "ship", "kind": "sort", "load": f"T{number}", "to": "BERLIN"}
    return {"type": "create_order", "order": f"O{number}", "steps": [step]}


def ledger() -> Ledger:
    """Two orders for two loads, accepted; a third one refused."""
    made = Ledger()
    for number in (1, 2):
        load = {"type": "announce_load", "load": f"T{number}", "location": "RACK-1", "barcodes": []}
        for kind, request in (("load", load), ("order", sort_order(number))):
            made.send("wms", f"{kind}-{number}", request)
            made.hear("wms", f"{kind}-{number}", True, "")
    made.send("wms", "order-3", sort_order(3))
    made.hear("wms", "order-3", False, "step ship: unknown load 'T3': announce it first")
    return made


GOOD = Truth(
    orders={"O1": "finished", "O2": "finished"},
    ends={"O1": ["finished"], "O2": ["finished"]},
    booked={"T1": "LANE-1"},
    standing={"T1": "LANE-1"},
    shipped={"T2": "LANE-2"},
    devices={
        "C1": {"executed": 4, "repeated": 0},
        "S1": {"executed": 2, "repeated": 0, "sorted": {"1": 1, "2": 1, "9": 3}},
        "RC1": {"executed": 0, "repeated": 0, "processed": 0},
        "AGV1": {"executed": 4, "repeated": 0},
    },
)


def test_a_good_end_balances() -> None:
    balance = ledger().balance(GOOD)
    assert balance.wrong() == {}
    assert (balance.acknowledged, balance.executed, balance.loads) == (2, 10, 2)
    assert balance.ends == {"finished": 2}
    assert balance.work == {"sorted": 2, "decanted": 0}
    assert Report(balance=balance).good


@pytest.mark.parametrize("order", [{"orders": {"O1": "finished"}}, {"orders": {}, "ends": {"O2": ["finished"]}}])
def test_an_end_that_only_the_log_or_only_the_journal_knows_counts(order: dict[str, Any]) -> None:
    kept = {"orders": {"O1": "finished"}, "ends": {"O2": ["finished"]}}
    assert ledger().balance(replace(GOOD, **kept)).wrong() == {}
    assert "lost" in ledger().balance(replace(GOOD, **{"ends": {}, **order})).wrong()


WRONG: dict[str, dict[str, Any]] = {
    "lost": {"orders": {"O2": "finished"}, "ends": {"O2": ["finished"]}},
    "unended": {"orders": {"O1": "started", "O2": "finished"}, "ends": {"O2": ["finished"]}},
    "doubled": {"ends": {"O1": ["finished", "finished"], "O2": ["finished"]}},
    "uninvited": {"orders": {**GOOD.orders, "O3": "finished"}},
    "executed_twice": {"devices": {**GOOD.devices, "C1": {"executed": 5, "repeated": 1}}},
    "work_wrong": {"devices": {**GOOD.devices, "S1": {"sorted": {"1": 2, "2": 1}}}},
    "loads_lost": {"shipped": {}},
    "loads_misplaced": {"booked": {"T1": "RACK-1"}},
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_ledger_does_not_balance_when(kind: str) -> None:
    balance = ledger().balance(replace(GOOD, **WRONG[kind]))
    assert kind in balance.wrong()
    report = Report(balance=balance)
    assert not report.good
    assert "WRONG" in crash.as_text(report)
    assert not crash.as_json(report)["balanced"]


@pytest.mark.parametrize(
    ("orders", "ends", "wrong"),
    [
        ({"O1": "failed"}, {"O1": ["finished"]}, "doubled"),
        ({"O1": "started"}, {"O1": ["finished"]}, "doubled"),
        ({"O1": "finished"}, {"O1": ["cancelled", "finished"]}, "doubled"),
        ({"O4": "finished"}, {}, "uninvited"),
        ({}, {"O3": ["failed"]}, "uninvited"),
    ],
)
def test_ends_that_contradict_one_another_are_seen(
    orders: dict[str, str], ends: dict[str, list[str]], wrong: str
) -> None:
    truth = replace(GOOD, orders={**GOOD.orders, **orders}, ends={**GOOD.ends, **ends})
    assert wrong in ledger().balance(truth).wrong()


def test_a_load_that_nobody_has_booked_must_have_left() -> None:
    assert ledger().balance(replace(GOOD, booked={})).loads_misplaced == {"T1": "not booked at all, is at LANE-1"}


def test_every_repeated_answer_is_compared_with_the_first() -> None:
    book = ledger()
    book.hear("wms", "order-1", True, "")
    assert book.balance(GOOD).wrong() == {}
    book.hear("wms", "order-1", False, "order O1 exists already and is finished")
    book.hear("wms", "order-3", True, "")
    book.hear("wms", "order-9", True, "")
    differing = book.balance(GOOD).answers_differ
    assert [text.split()[1].rstrip(":") for text in differing] == ["order-1", "order-3", "order-9"]
    assert book.answers_compared == 3


def test_another_content_under_a_known_id_must_be_refused_for_it() -> None:
    book = ledger()
    reused = "this request id was used before with other content: use a new one"
    book.hear("wms", "order-1", False, reused, forged=True)
    assert book.balance(GOOD).wrong() == {}
    book.hear("wms", "order-2", True, "", forged=True)
    book.hear("wms", "order-3", False, "unknown order 'NEVER-SENT'", forged=True)
    assert len(book.balance(GOOD).answers_differ) == 2


def test_an_answer_that_decides_nothing_leaves_the_request_open() -> None:
    book = ledger()
    book.send("wms", "order-4", sort_order(4))
    book.hear("wms", "order-4", False, "not accepted, nothing stored: too much is waiting; ask again later")
    assert book.balance(GOOD).unanswered == ["wms order-4"]
    # Nobody was promised anything, so it may be there or not.
    assert book.balance(replace(GOOD, orders={**GOOD.orders, "O4": "finished"})).uninvited == []
    book.hear("wms", "order-4", True, "")
    assert book.balance(GOOD).lost == ["O4"]


def test_a_bad_stop_or_nothing_acknowledged_is_no_success() -> None:
    assert not Report(balance=Balance()).good
    assert not Report(balance=Balance(acknowledged=1), bad_stops=["exit code 3"]).good


def test_the_log_is_read_as_it_grows_and_a_torn_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gateway.log"
    tail = LogTail(path)
    assert tail.lines() == []
    path.write_text('{"event": "a"}\n{"event": "b')
    assert tail.lines() == [{"event": "a"}]
    with path.open("a") as file:
        file.write('{"event": "started"}\n{"event": "c"}\n')
    assert tail.lines() == [{"event": "c"}]
    assert tail.unreadable == ['{"event": "b{"event": "started"}']


async def test_a_gateway_that_does_not_start_ends_the_bench_and_leaves_no_process(house: Any, tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no folder")
    figures = tmp_path / "figures.json"
    code, out, said = await bench_crash(house, "--kills", 1, "--seed", SEED, "--data", tmp_path, "--json", figures)
    assert code == 1
    assert "ended by itself with exit code 2" in said
    assert f"everything is kept in {tmp_path}" in out
    assert not json.loads(figures.read_text("utf-8"))["balanced"]
    assert "Traceback" not in said
    assert [command for command in commands_running() if str(tmp_path) in command] == []
