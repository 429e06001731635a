"""Small writes, committed together, each for itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from gateway.host import store as store_module
from gateway.host.store import Store, StoreFull

SCHEMA = "create table if not exists word (id integer primary key, text text unique)"


def put(text: str) -> object:
    def work(db: apsw.Connection) -> int:
        db.execute("insert into word (text) values (?)", (text,))
        return db.last_insert_rowid()

    return work


def words(db: apsw.Connection) -> list[str]:
    return [str(row[0]) for row in db.execute("select text from word order by id")]


async def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "new" / "a.db", SCHEMA)
    assert await store.write(put("one")) == 1  # type: ignore[arg-type]
    await store.close()
    again = await Store.open(tmp_path / "new" / "a.db", SCHEMA)
    assert await again.read(words) == ["one"]
    await again.close()
    assert (tmp_path / "new" / "a.db").stat().st_mode & 0o077 == 0


async def test_one_that_fails_leaves_the_others_of_its_batch_alone(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db", SCHEMA)
    texts = ["a", "b", "a", "c"]
    results = await asyncio.gather(*(store.write(put(text)) for text in texts), return_exceptions=True)  # type: ignore[arg-type]
    assert [isinstance(result, apsw.ConstraintError) for result in results] == [False, False, True, False]
    assert await store.read(words) == ["a", "b", "c"]
    await store.close()


async def test_too_many_writers_are_refused_and_the_rest_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "WAITING_MAX", 3)
    store = await Store.open(tmp_path / "a.db", SCHEMA)
    results = await asyncio.gather(*(store.write(put(str(n))) for n in range(9)), return_exceptions=True)  # type: ignore[arg-type]
    refused = [result for result in results if isinstance(result, StoreFull)]
    assert len(refused) == 5  # one is being written, three wait
    assert len(await store.read(words)) == 4
    await store.close()


async def test_what_waits_is_written_before_it_closes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db", SCHEMA)
    writes = [asyncio.ensure_future(store.write(put(str(n)))) for n in range(700)]  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*writes) == list(range(1, 701))


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    with pytest.raises(apsw.NotADBError):
        await Store.open(tmp_path / "a.db", SCHEMA)
