"""The audit log: only added to, and whoever changes it all the same is found out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from gateway.host.access import Audit, AuditEntry
from gateway.host.access import audit as audit_module
from gateway.host.store import Store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    found = await Store.open(tmp_path / "a.db", Audit.SCHEMA)
    yield found
    await found.close()


@pytest.fixture
async def audit(store: Store) -> Audit:
    """With entries 1 to 20."""
    log = Audit(store, 1_000_000)
    for number in range(1, 21):
        who = "wms" if number % 2 else "bob"
        await log.append(AuditEntry(who, f"cancel_order O{number}", "accepted", number, why="häßlich", status=200))
    return log


async def tampered(store: Store, sql: str) -> None:
    """As whoever can write the file can, with the triggers out of the way."""

    def work(db: apsw.Connection) -> None:
        for (name,) in db.execute("select name from sqlite_schema where type = 'trigger'").fetchall():
            db.execute(f"drop trigger {name}")
        db.execute(sql)

    await store.write(work)


async def test_what_was_written_is_read_newest_first(audit: Audit) -> None:
    entries = await audit.read(limit=3)
    assert [entry.number for entry in entries] == [20, 19, 18]
    assert entries[0] == AuditEntry("bob", "cancel_order O20", "accepted", 20, why="häßlich", status=200, number=20)
    assert [entry.number for entry in await audit.read(before=18, limit=3)] == [17, 16, 15]
    assert await audit.read(before=1) == []
    assert await audit.read(limit=0) == []
    assert await audit.read(before=-(2**70), limit=-1) == []
    assert len(await audit.read(before=2**70, limit=10**9)) == 20


async def test_filters_search_the_whole_log(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "READ_CHUNK", 3)
    assert [entry.number for entry in await audit.read(who="wms", limit=4)] == [19, 17, 15, 13]
    assert [entry.number for entry in await audit.read(what="cancel_order O1", limit=20)] == [*range(19, 9, -1), 1]
    assert await audit.read(what="cancel_order%") == []
    assert await audit.read(who="' or 1 = 1 --") == []


async def test_a_sound_chain_is_sound(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await audit.verify() == []
    monkeypatch.setattr(audit_module, "VERIFY_CHUNK", 3)
    assert await audit.verify() == []


COLUMNS = "kind, role, peer, method, path, what, why, request_id, outcome, status, detail, hash from audit"


async def test_the_database_itself_refuses(audit: Audit, store: Store) -> None:
    for sql in (
        "update audit set who = 'eve' where number = 5",
        "delete from audit where number = 5",
        "delete from audit",
        f"insert into audit select 0, at_ns, who, {COLUMNS} where number = 5",
        f"insert into audit select 21, at_ns, who, {COLUMNS} where number = 5",
        f"insert or replace into audit select number, at_ns, 'eve', {COLUMNS} where number = 5",
        f"insert or replace into audit select number, at_ns, 'eve', {COLUMNS} where number = 20",
        "delete from audit_end",
        "update audit_end set number = 3 where side = 'head'",
        "update audit_end set number = 21 where side = 'base'",
        "update audit_end set side = 'foot' where side = 'base'",
    ):
        with pytest.raises(apsw.ConstraintError):
            await store.write(lambda db, sql=sql: db.execute(sql))  # type: ignore[misc]
    assert await audit.verify() == []
    assert len(await audit.read()) == 20


@pytest.mark.parametrize(
    ("sql", "first"),
    [
        ("update audit set who = 'eve' where number = 7", 7),
        ("update audit set at_ns = at_ns + 1 where number = 1", 1),
        ("update audit set what = 'cancel_order O', why = '20häßlich' where number = 20", 20),
        ("update audit set hash = zeroblob(32) where number = 7", 7),
        ("delete from audit where number = 7", 7),
        ("delete from audit where number between 7 and 9", 7),
        ("delete from audit where number = 1", 1),
        ("delete from audit where number > 15", 16),
        ("delete from audit", 1),
        ("update audit set number = 1000 where number = 7; update audit set number = 7 where number = 8;"
         "update audit set number = 8 where number = 1000", 7),
        ("delete from audit where number > 15; update audit_end set number = 15 where side = 'head'", 15),
        ("update audit_end set hash = zeroblob(32) where side = 'head'", 20),
        ("update audit_end set number = 5 where side = 'base'; delete from audit where number <= 5", 6),
    ],
)  # fmt: skip
async def test_whoever_changes_the_file_is_found_out(audit: Audit, store: Store, sql: str, first: int) -> None:
    await tampered(store, sql)
    breaks = await audit.verify()
    assert breaks
    assert breaks[0].number == first
    assert breaks[0].problem


async def test_the_number_of_breaks_told_is_bounded(audit: Audit, store: Store) -> None:
    await tampered(store, "update audit set who = 'eve' where number > 0")
    assert len(await audit.verify()) == audit_module.BREAKS_MAX


async def test_it_goes_on_after_a_break_and_tells_of_it_still(audit: Audit, store: Store) -> None:
    await tampered(store, "update audit set who = 'eve' where number = 7")
    await audit.append(AuditEntry("bob", "x", "accepted", 1))
    assert [found.number for found in await audit.verify()] == [7]


async def test_anything_can_be_written_down(audit: Audit) -> None:
    wild = "\x00\ud800 \u202e" + "x" * 5_000
    await audit.append(
        AuditEntry(wild, wild, wild, -(2**63), wild, wild, wild, wild, wild, wild, wild, 2**63 - 1, wild)
    )
    (entry,) = await audit.read(limit=1)
    assert entry.why.startswith("\x00\\ud800")
    assert max(map(len, (entry.who, entry.what, entry.path, entry.detail))) <= 1_005
    assert await audit.verify() == []


async def test_many_at_once_are_each_written(audit: Audit) -> None:
    entry = AuditEntry("wms", "create_order", "accepted", 1)
    numbers = await asyncio.gather(*(audit.append(entry) for _ in range(300)))
    assert sorted(numbers) == list(range(21, 321))
    assert await audit.verify() == []


async def test_an_entry_goes_with_what_it_tells_of(audit: Audit, store: Store) -> None:
    def work(db: apsw.Connection) -> None:
        audit.put(db, AuditEntry("bob", "what failed", "accepted", 1))
        raise LookupError

    with pytest.raises(LookupError):
        await store.write(work)
    assert (await audit.head())[0] == 20
    assert await audit.verify() == []


async def test_the_oldest_make_room_and_the_rest_still_holds(
    store: Store, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "TRIM_EVERY", 5)
    monkeypatch.setattr(audit_module, "TRIM_MAX", 4)
    small = Audit(store, 10)
    entry = AuditEntry("wms", "create_order", "accepted", 1)
    for _ in range(60):
        await small.append(entry)
    numbers = [found.number for found in await small.read(limit=1_000)]
    assert numbers == list(range(80, numbers[-1] - 1, -1))
    assert 10 <= len(numbers) < 45  # it had 20 to begin with and drops at most 4 for each 5 that come
    assert await small.verify() == []
    with pytest.raises(apsw.ConstraintError):
        await store.write(lambda db: db.execute("delete from audit where number = ?", (numbers[-1],)))
    await tampered(store, f"update audit set who = 'eve' where number = {numbers[-1]}")
    assert [found.number for found in await small.verify()] == [numbers[-1]]
