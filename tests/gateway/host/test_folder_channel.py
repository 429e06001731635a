"""Requests by files: taken whole, answered beside them, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.contract import AnnounceLoad, CreateOrder, Reply, Request
from gateway.host import folder as folder_module
from gateway.host.folder import FolderChannel

Wait = Callable[[Callable[[], bool]], Awaitable[None]]


class Host:
    """Answers what the channel asks, as the runtime would, and remembers it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, str, Request]] = []
        self.open = asyncio.Event()
        self.open.set()
        log: Any = structlog.testing.CapturingLogger()
        self.channel = FolderChannel("wms", folder, self.answer, log)

    async def answer(self, client: str, request_id: str, request: Request) -> Reply:
        self.asked.append((client, request_id, request))
        await self.open.wait()
        return Reply(client, request_id, request_id != "no", "" if request_id != "no" else "never")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.channel.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def drop(self, name: str, content: object) -> None:
        part = self.folder / f".{name}.part"
        part.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        part.replace(self.folder / name)

    def reply(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.reply.json"

    def reason(self, name: str) -> Path:
        return self.folder / "failed" / f"{name}.reason.txt"


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "wms")


def announce(request_id: str, load: str = "L1") -> dict[str, Any]:
    return {"request_id": request_id, "request": {"type": "announce_load", "load": load, "location": "RACK-1"}}


async def test_a_request_is_taken_and_answered_beside_it(host: Host, wait: Wait) -> None:
    async with host.running():
        host.drop("one.json", announce("r1"))
        await wait((host.folder / "done" / "one.json").exists)
    assert host.asked == [("wms", "r1", AnnounceLoad("L1", "RACK-1"))]
    assert json.loads(host.reply("one").read_bytes()) == [{"request_id": "r1", "accepted": True, "reason": ""}]
    assert list(host.folder.glob("*.json")) == []


async def test_a_list_is_asked_in_its_order_and_each_has_its_answer(host: Host, wait: Wait) -> None:
    order = {
        "request_id": "o1",
        "request": {
            "type": "create_order", "order": "A", "priority": 1,
            "steps": [{"step": "go", "kind": "move", "load": "L1", "to": "RACK-2"}],
        },
    }  # fmt: skip
    async with host.running():
        host.drop("many.json", [announce("r1"), order, announce("no", "L2")])
        await wait((host.folder / "done" / "many.json").exists)
    assert [request_id for _, request_id, _ in host.asked] == ["r1", "o1", "no"]
    assert isinstance(host.asked[1][2], CreateOrder)
    assert [(a["accepted"], a["reason"]) for a in json.loads(host.reply("many").read_bytes())] == [
        (True, ""),
        (True, ""),
        (False, "never"),
    ]


async def test_files_are_taken_oldest_name_first(host: Host, wait: Wait) -> None:
    for name in ("b", "a", "c"):
        host.drop(f"{name}.json", announce(name))
    async with host.running():
        await wait(lambda: len(host.asked) == 3)
    assert [request_id for _, request_id, _ in host.asked] == ["a", "b", "c"]


MALFORMED = {
    "cut off": (b'{"request_id": "r1", "requ', "Input data was truncated"),
    "no JSON": (b"hello", "malformed"),
    "empty": (b"", "truncated"),
    "unknown type": (json.dumps({"request_id": "r", "request": {"type": "fly"}}).encode(), "fly"),
    "no request id": (json.dumps({"request": {"type": "sign_off", "person": "a"}}).encode(), "request_id"),
    "unknown field": (json.dumps({**announce("r"), "urgent": True}).encode(), "urgent"),
    "wrong kind": (
        json.dumps({"request_id": "r", "request": {"type": "announce_load", "load": 7, "location": "x"}}).encode(),
        "$.request.load",
    ),
    "not UTF-8": (b'{"request_id": "\xff\xfe"}', ""),
    "a number beyond all bounds": (
        b'{"request_id":"r","request":{"type":"create_order","order":"a","steps":[],"deadline_ns":1'
        + b"0" * 25
        + b"}}",
        "deadline_ns",
    ),
}


@pytest.mark.parametrize("kind", MALFORMED)
async def test_a_malformed_file_is_refused_with_the_reason_and_nothing_is_asked(
    host: Host, wait: Wait, kind: str
) -> None:
    content, part = MALFORMED[kind]
    async with host.running():
        host.drop("bad.json", content)
        host.drop("good.json", announce("after"))
        await wait(lambda: host.reply("good").exists())
    assert (host.folder / "failed" / "bad.json").read_bytes() == content
    assert part in host.reason("bad").read_text()
    assert [request_id for _, request_id, _ in host.asked] == ["after"]


async def test_one_bad_request_in_a_list_means_that_none_is_carried_out(host: Host, wait: Wait) -> None:
    async with host.running():
        host.drop("mixed.json", [announce("r1"), {"request_id": "r2", "request": {"type": "fly"}}])
        await wait(lambda: host.reason("mixed").exists())
    assert host.asked == []


async def test_a_file_that_is_being_written_is_left_alone(host: Host, wait: Wait) -> None:
    (host.folder / ".late.json").write_bytes(b'{"request_id": "r1"')
    (host.folder / "note.txt").write_bytes(b"no request")
    async with host.running():
        host.drop("zz.json", announce("r2"))
        await wait(lambda: host.reply("zz").exists())
        assert (host.folder / ".late.json").exists()
        (host.folder / ".late.json").write_bytes(json.dumps(announce("r1")).encode())
        (host.folder / ".late.json").replace(host.folder / "late.json")
        await wait(lambda: host.reply("late").exists())
    assert [request_id for _, request_id, _ in host.asked] == ["r2", "r1"]
    assert (host.folder / "note.txt").exists()


async def test_the_same_file_twice_is_asked_and_answered_twice(host: Host, wait: Wait) -> None:
    """That it is done once is the kernel's part: request ids are the same."""
    async with host.running():
        host.drop("one.json", announce("r1"))
        await wait(lambda: host.reply("one").exists() and not (host.folder / "one.json").exists())
        first = host.reply("one").read_bytes()
        host.drop("one.json", announce("r1"))
        await wait(lambda: len(host.asked) == 2 and not (host.folder / "one.json").exists())
    assert host.reply("one").read_bytes() == first
    assert host.asked[0] == host.asked[1]


async def test_a_file_too_large_is_refused_unread(host: Host, wait: Wait, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "FILE_BYTES_MAX", 1_000)
    async with host.running():
        host.drop("big.json", [announce(f"r{i}") for i in range(50)])
        await wait((host.folder / "failed" / "big.json").exists)
    assert host.reason("big").read_text() == "larger than 1000 bytes: split it\n"
    assert host.asked == []


async def test_too_many_requests_in_one_file_are_refused(
    host: Host, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_module, "REQUESTS_MAX", 3)
    async with host.running():
        host.drop("many.json", [announce(f"r{i}") for i in range(4)])
        await wait((host.folder / "failed" / "many.json").exists)
    assert host.reason("many").read_text() == "4 requests in one file, at most 3: split it\n"
    assert host.asked == []


async def test_a_file_stays_where_it_is_until_its_requests_are_durable(host: Host, wait: Wait) -> None:
    host.open.clear()
    async with host.running():
        host.drop("one.json", announce("r1"))
        await wait(lambda: bool(host.asked))
        assert (host.folder / "one.json").exists()
        assert not host.reply("one").exists()
    # The process died here: the next one takes it again.
    host.open.set()
    async with host.running():
        await wait(lambda: host.reply("one").exists())
    assert [request_id for _, request_id, _ in host.asked] == ["r1", "r1"]


async def test_an_empty_list_is_answered_with_an_empty_list(host: Host, wait: Wait) -> None:
    async with host.running():
        host.drop("none.json", [])
        await wait(lambda: host.reply("none").exists())
    assert json.loads(host.reply("none").read_bytes()) == []
