"""Rows of a real database: each is done once and answered, in order, whatever goes down in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gateway.contract import AnnounceLoad, CreateOrder, OrderEvent, RemoveLoad, Reply, StepEvent, StepRequest
from gateway.host.channels.assembly import those_who_tell
from gateway.shell.runtime import Runtime

from .conftest import START_NS, Cable, Database, Make, Way

Wait = Callable[[Callable[[], bool]], Awaitable[None]]
RULES = [
    {"request": "announce_load", "unless": [{"field": "gone", "exists": True}], "load": "{load}", "location": "R1"},
    {"request": "remove_load", "when": [{"field": "gone", "equals": True}], "load": "{load}"},
]
DSN = "STELLWERK_TEST_CHANNEL_DSN"


class Erp:
    def __init__(self, make: Make, database: Database, patch: pytest.MonkeyPatch, **table: Any) -> None:
        patch.setenv(DSN, database.dsn)
        self.database = database
        self.way: Way = make(self.spec(**table))

    def spec(self, **table: Any) -> dict[str, Any]:
        given = {"dsn_env": DSN, "schema": self.database.schema, "poll_s": 0.05, **table}
        return {"id": "erp", "kind": "table", "format": "json", "table": given, "mapping": {"rules": RULES}}

    async def write(self, *payloads: object) -> list[int]:
        text = "insert into stellwerk_in (payload) values (%s) returning id"
        return [(await self.database.rows(text, json.dumps(payload)))[0][0] for payload in payloads]

    async def answers(self) -> list[tuple[Any, ...]]:
        text = "select in_id, request_id, accepted, reason from stellwerk_out where kind = 'answer' order by id"
        return await self.database.rows(text)

    async def events(self) -> list[tuple[Any, ...]]:
        text = "select kind, order_id, state from stellwerk_out where kind <> 'answer' order by id"
        return await self.database.rows(text)

    async def waiting(self) -> int:
        return int((await self.database.rows("select count(*) from stellwerk_in where taken_at is null"))[0][0])


Open = Callable[..., Erp]


@pytest.fixture
def erp_of(make: Make, database: Database, monkeypatch: pytest.MonkeyPatch) -> Open:
    return lambda **table: Erp(make, database, monkeypatch, **table)


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await look():  # noqa: ASYNC110 - the database sets no event
            await asyncio.sleep(0.01)


async def test_rows_are_carried_out_in_order_and_answered(erp_of: Open) -> None:
    erp = erp_of(batch_max=7)
    ids = await erp.write(*({"load": f"L{n}"} for n in range(20)), {"load": "L3", "gone": True})
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
    assert [request for _, request in erp.way.desk.asked] == [
        *(AnnounceLoad(f"L{n}", "R1") for n in range(20)), RemoveLoad("L3"),
    ]  # fmt: skip
    assert await erp.answers() == [(str(n), f"row-{n}", True, "") for n in ids]


async def _is(look: Callable[[], Awaitable[object]], value: object) -> bool:
    return await look() == value


async def test_a_row_whose_answer_was_lost_is_asked_again_and_answered_once(erp_of: Open, wait: Wait) -> None:
    erp = erp_of()
    erp.way.desk.open.clear()
    (row,) = await erp.write({"load": "L1"})
    async with erp.way.running():
        await wait(lambda: bool(erp.way.desk.asked))
    # The process died here: the request was put, the answer is not written.
    assert await erp.waiting() == 1
    assert await erp.answers() == []
    erp.way.desk.open.set()
    erp.way.restart()
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
    assert await erp.answers() == [(str(row), f"row-{row}", True, "")]
    assert erp.way.desk.asked[0] == erp.way.desk.asked[1]
    assert len(erp.way.desk.done) == 1


async def test_a_row_that_somebody_else_holds_is_left_for_later(erp_of: Open, database: Database) -> None:
    erp = erp_of()
    first, _ = await erp.write({"load": "L1"}, {"load": "L2"})
    async with await psycopg.AsyncConnection.connect(database.dsn) as other:
        await other.execute(f"select 1 from {database.schema}.stellwerk_in where id = {first} for update")  # type: ignore[arg-type]
        async with erp.way.running():
            await until(lambda: _is(erp.waiting, 1))
            assert [request for _, request in erp.way.desk.asked] == [AnnounceLoad("L2", "R1")]
            await other.rollback()
            await until(lambda: _is(erp.waiting, 0))


async def test_bad_rows_are_answered_and_do_not_stop_the_others(erp_of: Open) -> None:
    erp = erp_of(bytes_max=1_000)
    bad = [7, [], "text", {"lod": 1}, {"load": "x" * 2_000}]
    text = "insert into stellwerk_in (payload) values (%s)"
    for payload in bad:
        await erp.database.rows(text, json.dumps(payload))
    await erp.write({"load": "L1"})
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
    answers = await erp.answers()
    assert [accepted for _, _, accepted, _ in answers] == [False, True, False, False, False, True]
    reasons = [reason for _, _, _, reason in answers]
    for reason, part in zip(
        reasons,
        ("a number, not a list", "nothing to do", "no JSON", "load is not there; there is lod", "at most 1000", ""),
        strict=True,
    ):  # fmt: skip
        assert part in reason


async def test_what_postgresql_cannot_hold_is_told_nevertheless(erp_of: Open) -> None:
    erp = erp_of()
    await erp.database.rows("alter table stellwerk_in alter payload type text")
    spec = erp.spec()
    spec = {**spec, "format": "request", "mapping": None}
    erp.way.spec = erp.way.spec.model_validate(spec)
    erp.way.restart()
    request = {"request_id": "a\0b", "request": {"type": "remove_load", "load": "x\0y"}}
    await erp.database.rows("insert into stellwerk_in (payload) values (%s)", json.dumps(request))
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
    ((_, request_id, accepted, _),) = await erp.answers()
    assert (request_id, accepted) == ("a\ufffdb", True)


async def test_the_rows_own_columns_may_be_the_record(erp_of: Open, database: Database) -> None:
    await database.rows(
        "create table moves (no text primary key, load text, gone boolean, weight numeric, done timestamptz)"
    )
    erp = erp_of(inbox="moves", id_column="no", payload_column="", taken_column="done")
    await database.rows("insert into moves values ('m1', 'L1', null, 1.5), ('m2', 'L2', true, null)")
    async with erp.way.running():
        await until(lambda: _is(lambda: database.rows("select no from moves where done is null"), []))
    assert erp.way.desk.asked == [("row-m1", AnnounceLoad("L1", "R1")), ("row-m2", RemoveLoad("L2"))]


async def test_a_text_format_stands_in_a_json_string(erp_of: Open) -> None:
    erp = erp_of()
    sample = (Path(__file__).parents[4] / "config" / "channels" / "edifact.sample.edi").read_text()
    rules = [{"request": "remove_load", "load": "{order}"}]
    erp.way.spec = erp.way.spec.model_validate({**erp.spec(), "format": "edifact", "mapping": {"rules": rules}})
    erp.way.restart()
    await erp.write(sample, sample[:300])
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
    good, bad = await erp.answers()
    assert erp.way.desk.asked == [(good[1], RemoveLoad("4500012345"))]
    assert "segment" in bad[3]


async def test_notify_wakes_the_channel(erp_of: Open, wait: Wait) -> None:
    erp = erp_of(poll_s=3_600, events=False)
    await erp.write({"load": "L0"})
    async with erp.way.running():
        await until(lambda: _is(erp.waiting, 0))
        await erp.write({"load": "L1"})
        await wait(lambda: len(erp.way.desk.asked) == 2)


async def test_the_database_may_go_and_come(
    erp_of: Open, free_port: Callable[[], int], wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    erp = erp_of()
    about = psycopg.conninfo.conninfo_to_dict(erp.database.dsn)
    port, cable = free_port(), Cable(int(str(about.get("port") or 5432)))
    monkeypatch.setenv(DSN, make_conninfo(erp.database.dsn, host="127.0.0.1", port=port))
    async with erp.way.running():
        await wait(lambda: len(erp.way.said("channel is away")) == 1)
        await cable.plug(port)
        await wait(lambda: len(erp.way.said("channel is back")) == 1)
        erp.way.desk.open.clear()
        await erp.write({"load": "L1"})
        await wait(lambda: bool(erp.way.desk.asked))
        await cable.cut()
        erp.way.desk.open.set()
        await wait(lambda: len(erp.way.said("channel is away")) == 2)
        assert await erp.answers() == []
        await cable.plug(port)
        await until(lambda: _is(erp.waiting, 0))
    assert len(await erp.answers()) == 1
    assert len(erp.way.desk.done) == 1
    await cable.cut()


@pytest.mark.parametrize(
    ("dsn", "part"),
    [
        ("", "`dsn_env` STELLWERK_TEST_CHANNEL_DSN must hold a connection string"),
        ("postgresql://u:hush@[", "holds no connection string"),
        ("postgresql://u:hush@db.example.com/x", "leads to another machine without a checked certificate"),
        ("postgresql://u:hush@db.example.com/x?sslmode=require", "add sslmode=verify-full"),
        ("postgresql://u:hush@127.0.0.1,db.example.com/x", "another machine"),
    ],
)
async def test_a_bad_connection_string_is_told_without_it(
    erp_of: Open, wait: Wait, monkeypatch: pytest.MonkeyPatch, dsn: str, part: str
) -> None:
    erp = erp_of()
    monkeypatch.setenv(DSN, dsn)
    async with erp.way.running():
        await wait(lambda: bool(erp.way.said("channel is away")))
    assert part in erp.way.said("channel is away")[0]["reason"]
    assert "hush" not in str(erp.way.log.calls)


async def test_tables_that_are_not_there_are_told_with_the_way_on(erp_of: Open, wait: Wait) -> None:
    erp = erp_of(inbox="nowhere")
    async with erp.way.running():
        await wait(lambda: bool(erp.way.said("channel is away")))
    assert "make the tables with config/channels/table.sql" in erp.way.said("channel is away")[0]["reason"]


# --- events ---


async def test_what_becomes_of_orders_is_told_once_and_in_order(erp_of: Open) -> None:
    erp = erp_of()
    (tells,) = those_who_tell(erp.way.channels)
    told = [
        OrderEvent("A", "created", "", "erp", 1), OrderEvent("X", "created", "", "other", 1),
        StepEvent("A", "go", "started", "L", "R1", "", "erp"), OrderEvent("A", "finished", "", "erp", 2),
        Reply("erp", "r", True),
    ]  # fmt: skip
    for number, event in enumerate(told):
        tells.heard(5, number, START_NS, event)
    await tells.flush()  # durable: the process may end here
    erp.way.restart()
    async with erp.way.running():
        await until(lambda: _is(lambda: _count(erp), 3))
    erp.way.restart()
    (tells,) = those_who_tell(erp.way.channels)
    for number, event in enumerate(told):
        tells.heard(5, number, START_NS, event)  # a start tells again what came since the snapshot
    tells.heard(6, 0, START_NS, OrderEvent("B", "created", "", "erp", 1))
    async with erp.way.running():
        await until(lambda: _is(lambda: _count(erp), 4))
    assert await erp.events() == [
        ("order", "A", "created"), ("step", "A", "started"), ("order", "A", "finished"), ("order", "B", "created"),
    ]  # fmt: skip


async def _count(erp: Erp) -> int:
    return len(await erp.events())


async def test_events_have_a_limit_while_the_database_is_away(erp_of: Open) -> None:
    erp = erp_of(events_waiting_max=100)
    (tells,) = those_who_tell(erp.way.channels)
    for seq in range(150):
        tells.heard(seq, 0, START_NS, OrderEvent(f"A{seq}", "created", "", "erp", 1))
    await tells.flush()
    (said,) = erp.way.said("events for a table are dropped: its database has been away for too long")
    assert said["dropped"] == 50
    async with erp.way.running():
        await until(lambda: _is(lambda: _count(erp), 100))
    assert (await erp.events())[0] == ("order", "A50", "created")


async def test_an_order_of_the_table_on_the_real_gateway(erp_of: Open, running: Runtime) -> None:
    erp = erp_of()
    steps = [{"step": "go", "kind": "move", "load": "{load}", "to": "{to}"}]
    rules = [
        {"request": "announce_load", "load": "{load}", "location": "RACK-1"},
        {"request": "create_order", "order": "{order}", "steps": steps},
    ]
    erp.way.spec = erp.way.spec.model_validate({**erp.spec(), "mapping": {"rules": rules}})
    erp.way.ask = running.ask
    erp.way.restart()
    (tells,) = those_who_tell(erp.way.channels)
    stop = running.listen(tells.heard)
    try:
        (row,) = await erp.write({"order": "A", "load": "L1", "to": "RACK-2"})
        async with erp.way.running():
            await until(lambda: _is(lambda: _first(erp), ("order", "A", "created")))
    finally:
        stop()
    assert [answer[:3] for answer in await erp.answers()] == [
        (str(row), f"row-{row}", True), (str(row), f"row-{row}.2", True),
    ]  # fmt: skip
    assert CreateOrder("A", (StepRequest("go", "move", "L1", "RACK-2"),)).order in running.kernel.state.orders


async def _first(erp: Erp) -> object:
    return next(iter(await erp.events()), None)
