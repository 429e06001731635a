"""`stellwerk order` as a person types it, against a served gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gateway.commands.order import app

Say = Callable[..., Any]


@pytest.fixture
def say(gateway: Any, tmp_path: Path) -> Say:
    """Types a command, on another thread: the gateway runs on this one's loop."""
    key_file = tmp_path / "key"
    key_file.write_text(gateway.house.keys["operator"] + "\n", encoding="utf-8")

    async def typed(*words: str, stdin: str | None = None, **env: str) -> Result:
        whole = {"STELLWERK_URL": gateway.direct, "STELLWERK_KEY": "", **env}
        keyed = words if "STELLWERK_KEY" in env else (*words, "--key-file", str(key_file))
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(keyed), input=stdin, env=whole))

    return typed


async def test_an_order_is_made_shown_listed_and_cancelled(gateway: Any, say: Say) -> None:
    made = await say(
        "add", "4711", "--announce", "T:1@RACK-1=376123", "--work", "T1:pick:WS1",
        "--move", "T:1:RACK-2", "--ship", "T:1:BERLIN", "--move", "T:1:RACK-3", "--priority", "2", "--why", "rush",
        "--announce", "T1@RACK-4",
    )  # fmt: skip
    assert (made.exit_code, made.stderr) == (0, "")
    assert made.stdout.splitlines()[-1] == "order 4711 is accepted"
    tasks = [gateway.state.tasks[name] for name in gateway.state.orders["4711"].tasks]
    assert [(t.kind, t.load, t.to, t.skill) for t in tasks] == [
        ("work", "T1", "WS1", "pick"),
        ("move", "T:1", "RACK-2", ""),
        ("sort", "T:1", "BERLIN", ""),
        ("move", "T:1", "RACK-3", ""),
    ]
    assert [t.after for t in tasks] == [(), ("4711/1",), ("4711/2",), ("4711/3",)]
    assert gateway.state.loads["T:1"].barcodes[0] == "376123"
    shown = await say("show", "4711")
    assert shown.exit_code == 0
    assert "order 4711 of the-operator is released, version" in shown.stdout
    assert "4711/1 (work T1, now at RACK-4) is ready: " in shown.stdout
    told = json.loads((await say("show", "4711", "--json")).stdout)
    assert (told["order"], told["steps"][2]["to"], len(told["reasons"])) == ("4711", "BERLIN", 4)
    listed = await say("list")
    head, line = listed.stdout.splitlines()
    assert head.split() == ["order", "state", "version", "priority", "client", "accepted", "loads", "why"]
    assert line.split()[:2] == ["4711", "released"]
    stale = await say("cancel", "4711", "--version", str(told["version"] + 7))
    assert stale.exit_code == 1
    assert "stellwerk order: refused: order 4711 has version" in stale.stderr
    assert "next step get it again" in stale.stderr
    done = await say("cancel", "4711", "--version", str(told["version"]), "--why", "not wanted")
    assert (done.exit_code, done.stdout) == (0, "order 4711 is cancelled\n")
    assert gateway.state.orders["4711"].reason == "not wanted"
    assert json.loads((await say("list", "--state", "cancelled", "--json")).stdout)[0]["reason"] == "not wanted"
    assert (await say("list", "--state", "created")).stdout == "no orders\n"


async def test_the_same_key_does_it_once(gateway: Any, say: Say) -> None:
    words = ("add", "O1", "--announce", "L1@RACK-1", "--move", "L1:RACK-2", "--key", "k")
    assert (await say(*words)).exit_code == 0
    again = await say(*words)
    assert again.exit_code == 0
    assert "nothing is done twice" in again.stdout
    assert gateway.state.tally.orders_accepted == 1


async def test_orders_come_from_a_file(gateway: Any, say: Say, tmp_path: Path) -> None:
    await gateway.house.load("L1")
    step = {"step": "a", "kind": "move", "load": "L1", "to": "RACK-2"}
    one = {"order": "O1", "steps": [step], "deadline": "2027-01-01T08:00:00+01:00"}
    file = tmp_path / "order.json"
    file.write_text(json.dumps(one), encoding="utf-8")
    assert (await say("add", "--file", str(file))).stdout == "order O1 is accepted\n"
    many = [{"order": "O2", "steps": [step]}, {"order": "O3", "steps": [{**step, "load": "none"}]}]
    mixed = await say("add", "--file", "-", stdin=json.dumps(many))
    assert mixed.exit_code == 1
    first, second = mixed.stdout.splitlines()
    assert first == "order O2 is accepted"
    assert second.startswith("order O3 is refused: step a: unknown load 'none'")
    for wrong in ("", "{", "[1]", '{"order": "O4"}', json.dumps({**one, "deadline": "2027-01-01T08:00:00"}), "[]"):
        refused = await say("add", "--file", "-", stdin=wrong)
        assert refused.exit_code == 2, wrong
        assert "stellwerk order: " in refused.stderr
    missing = await say("add", "--file", str(tmp_path / "none.json"))
    assert (missing.exit_code, "none.json" in missing.stderr) == (2, True)


WRONG: list[tuple[str, ...]] = [
    ("add",),
    ("add", "O1"),
    ("add", "O1", "--move", "L1"),
    ("add", "O1", "--ship", ":BERLIN"),
    ("add", "O1", "--work", "L1"),
    ("add", "O1", "--work", "L1:pick:WS1:more"),
    ("add", "O1", "--move", "L1:RACK-1", "--announce", "L1"),
    ("add", "O1", "--move", "L1:RACK-1", "--priority", "9"),
    ("add", "O1", "--move", "L1:RACK-1", "--file", "x.json"),
    ("add", "O1", "--move", "L1:RACK-1", "--key", "two words"),
    ("list", "--state", "flying"),
    ("list", "--limit", "0"),
    ("show",),
    ("show", ""),
    ("list", "--url", "gateway"),
    ("list", "--ca-file", "nowhere.pem", "--url", "https://127.0.0.1"),
    ("list", "--url", "http://192.0.2.1"),
]


async def test_a_wrong_command_line_is_told_and_nothing_is_done(gateway: Any, say: Say) -> None:
    for words in WRONG:
        refused = await say(*words)
        assert refused.exit_code == 2, words
        assert refused.stderr
        assert "Traceback" not in refused.output
    state = gateway.state
    assert (state.orders, state.loads, state.answers) == ({}, {}, {})


async def test_keys_come_from_a_file_or_the_environment(gateway: Any, say: Say, tmp_path: Path) -> None:
    assert (await say("list", STELLWERK_KEY=gateway.house.keys["viewer"])).exit_code == 0
    none = await say("list", STELLWERK_KEY="")
    assert none.exit_code == 1
    assert "next step give a key, with --key-file or in STELLWERK_KEY" in none.stderr
    wrong = await say("list", STELLWERK_KEY="swk_0_wrong")
    assert (wrong.exit_code, "swk_0_wrong" in wrong.output) == (1, False)
    viewer = await say("cancel", "O1", STELLWERK_KEY=gateway.house.keys["viewer"])
    assert (viewer.exit_code, "admin" in viewer.stderr) == (1, True)
    (tmp_path / "long").write_bytes(b"x" * 5_000)
    (tmp_path / "other").write_bytes(b"\xff\xfe")
    for name in ("long", "other", "none"):
        found = await say("list", "--key-file", str(tmp_path / name), STELLWERK_KEY="swk_1")
        assert found.exit_code == 2
        assert "stellwerk order: " in found.stderr


async def test_a_gateway_that_is_away_is_told(gateway: Any, say: Say) -> None:
    url = gateway.direct
    await gateway.stopped()
    away = await say("cancel", "O1", STELLWERK_URL=url)
    assert away.exit_code == 3
    assert away.stderr.startswith(f"stellwerk order: {url} is not reached: ")
    assert "next step" not in away.stderr, "nothing can have been done"


async def test_an_answer_that_is_lost_is_told_with_the_key_that_finds_it(gateway: Any, say: Say) -> None:
    await gateway.house.load("L1")
    gateway.line.swallow = 1_000
    words = ("add", "O1", "--move", "L1:RACK-2")
    lost = await say(*words, STELLWERK_URL=gateway.url, STELLWERK_KEY=gateway.house.keys["operator"])
    assert lost.exit_code == 3
    key = lost.stderr.partition("--key ")[2].partition(":")[0]
    found = await say(*words, "--key", key)
    assert (found.exit_code, "nothing is done twice" in found.stdout) == (0, True)
    assert gateway.state.tally.orders_accepted == 1


async def test_what_hosts_have_chosen_reaches_no_terminal_as_it_is(gateway: Any, say: Say) -> None:
    await gateway.house.load("L1")
    async with gateway.loop_client() as client:
        from gateway.client import Step

        await client.orders.create("O1", [Step("a", "move", "L1", "RACK-2")])
        await client.orders.hold("O1", "\x1b[2Jgone")
    for words in (("list",), ("show", "O1")):
        shown = await say(*words)
        assert "\x1b" not in shown.stdout
        assert "[2Jgone" in shown.stdout
