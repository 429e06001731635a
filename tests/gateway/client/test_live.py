"""The live feed as a screen follows it: whole, then what changes, through cuts and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from gateway.client import NotReached, Picture, Refused, Step
from gateway.client.picture import NotTheFeed

GO = (Step("a", "move", "L1", "RACK-2"),)


async def until(news: AsyncIterator[Picture], condition: Callable[[Picture], bool]) -> Picture:
    async with asyncio.timeout(10):
        async for picture in news:
            if condition(picture):
                return picture
    raise AssertionError("the feed has ended")


async def test_it_begins_whole_and_is_kept_up_to_date(gateway: Any) -> None:
    async with gateway.loop_client() as client, aclosing(client.live()) as news:
        first = await until(news, lambda picture: True)
        assert first.is_new
        assert first.of("gateway")["status"] == "healthy"
        assert {"AGV1", "C1"} <= first.of("devices").keys()
        assert first.of("site")["locations"]["RACK-1"]["kind"] == "rack"
        await client.loads.announce("L1", "RACK-1")
        seen = await until(news, lambda picture: "L1" in picture.changed.get("loads", ()))
        assert not seen.is_new
        assert seen.of("loads")["L1"]["location"] == "RACK-1"
        await client.orders.create("O1", GO)
        await until(news, lambda picture: "O1" in picture.of("orders"))
        await client.orders.hold("O1", "wait")
        held = await until(news, lambda picture: picture.of("orders").get("O1", {}).get("held") == "wait")
        # Merged, not replaced.
        assert held.of("orders")["O1"]["client"] == "the-operator"
        await client.orders.cancel("O1")
        await until(news, lambda picture: "O1" not in picture.of("orders"))


async def test_after_a_cut_it_goes_on_where_it_was(gateway: Any) -> None:
    async with gateway.loop_client() as client, aclosing(client.live(["loads"])) as news:
        first = await until(news, lambda picture: True)
        assert first.maps.keys() == {"gateway", "loads"}
        begun_anew: list[bool] = []

        def has_come(picture: Picture) -> bool:
            begun_anew.append(picture.is_new)
            return "L1" in picture.of("loads")

        gateway.line.cut()
        gateway.line.is_up = False
        follower = asyncio.create_task(until(news, has_come))
        await gateway.house.load("L1")
        gateway.line.is_up = True
        await follower
        assert True not in begun_anew, "what was known was thrown away"


async def test_after_a_restart_it_begins_anew(gateway: Any) -> None:
    async with gateway.loop_client() as client, aclosing(client.live(["loads"])) as news:
        await until(news, lambda picture: True)
        follower = asyncio.create_task(until(news, lambda picture: "L1" in picture.of("loads")))
        gateway.kill()
        await gateway.stopped()
        await gateway.start()
        await gateway.house.load("L1")
        await follower


async def test_whoever_may_not_follow_is_told_why(gateway: Any) -> None:
    async with gateway.loop_client("") as nobody:
        with pytest.raises(Refused) as refused:
            await until(nobody.live(), lambda picture: True)
        assert (refused.value.code, refused.value.status) == ("unauthorized", 401)
    async with gateway.loop_client() as client:
        with pytest.raises(Refused) as wrong:
            await until(client.live(["trains"]), lambda picture: True)
        assert "trains" in wrong.value.detail


async def test_a_gateway_that_stays_away_ends_it(gateway: Any) -> None:
    async with gateway.loop_client() as client, aclosing(client.live(away_s_max=0.2)) as news:
        await until(news, lambda picture: True)
        gateway.line.is_up = False
        gateway.line.cut()
        with pytest.raises(NotReached):
            await until(news, lambda picture: False)


# --- the picture ---


def frame(kind: str, seq: int, **more: Any) -> bytes:
    return msgspec.json.encode({"type": kind, "seq": seq, "at_ms": seq, **more})


def test_a_snapshot_in_parts_is_shown_when_it_is_whole() -> None:
    picture = Picture()
    assert not picture.take(frame("snapshot", 7, epoch=1, begins=True, more=True, loads={"L1": {"a": 1}}))
    assert picture.after is None
    assert picture.take(frame("snapshot", 7, epoch=1, begins=False, more=False, loads={"L2": {"a": 2}}))
    assert picture.of("loads") == {"L1": {"a": 1}, "L2": {"a": 2}}
    assert picture.after == 7
    assert not picture.take(frame("resumed", 7))
    assert not picture.take(frame("news of tomorrow", 7))
    assert picture.take(frame("diff", 9, loads={"L1": None, "L2": {"b": None}}, site={"id": "x"}))
    assert picture.maps == {"loads": {"L2": {"a": 2, "b": None}}, "site": {"id": "x"}}
    assert picture.changed == {"loads": {"L1", "L2"}, "site": frozenset()}
    assert picture.after == 9
    assert picture.take(frame("snapshot", 12, epoch=2, begins=True, more=False, orders={}))
    assert picture.maps == {"orders": {}}


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", frame("diff", 1, loads={}), frame("snapshot", 1), "null"])
def test_what_is_no_feed_is_told(text: bytes | str) -> None:
    picture = Picture()
    with pytest.raises(NotTheFeed):
        picture.take(text)
    assert picture.after is None
