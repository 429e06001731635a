"""What is heard is durable, known and bounded: crashes, replays, other journals, the bound of memory, retention."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw
import pytest
from outward_rig import Host, House, Kernelspeak, alarm, at_work, figures_of, order, step

from gateway.contract import Note, Reply
from gateway.host.outward import NotKept
from gateway.site import OutwardSpec


async def test_events_survive_a_crash_and_a_replayed_tail_is_neither_lost_nor_doubled(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    first = await house.open(webhooks=[house.hook(host)])
    said = kernel.say(first, order("O1", 1, "created"), Note("x", "y"), order("O2", 1, "created"))
    await first.flush()
    said += kernel.say(first, order("O1", 2, "released"), step("O1"))  # in memory when the process is killed
    second = await house.open(webhooks=[house.hook(host)])
    for effect in said:  # what the journal's end gives again
        second.heard(*effect)
    await second.flush()
    async with at_work(second):
        await wait(lambda: len(host.told) >= 4)
        kernel.say(second, order("O1", 3))
        await wait(lambda: len(host.told) >= 5)
    assert [e["type"] for e in host.told if e["data"]["order"] == "O1"] == [
        "order.created", "order.released", "step.finished", "order.started",
    ]  # fmt: skip
    assert host.versions("O2") == [1]
    assert len({e["id"] for e in host.told}) == len(host.told) == 5


async def test_killed_between_delivery_and_commit_it_is_told_again_under_the_same_id(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    stopped = asyncio.Event()

    async def hang(_: Any) -> tuple[int, dict[str, str], bytes]:
        await stopped.wait()
        return 204, {}, b""

    host.answer = hang
    first = await house.open(webhooks=[house.hook(host)])
    kernel.say(first, order("O1", 1), order("O1", 2))
    async with at_work(first):
        await wait(lambda: len(host.requests) == 1)  # it has arrived, and we never learn of it
    stopped.set()
    second = await house.open(webhooks=[house.hook(host)])
    async with at_work(second):
        await wait(lambda: len(host.requests) == 3)
    ids = [r.headers["webhook-id"] for r in host.requests]
    assert ids[0] == ids[1] != ids[2]


async def test_what_has_arrived_is_not_told_again_after_a_restart(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    first = await house.open(webhooks=[house.hook(host)])
    said = kernel.say(first, order("O1", 1), order("O1", 2))
    async with at_work(first):
        # Not before it is written down: what has arrived and was not noted is told again, as it should be.
        async with asyncio.timeout(10):
            while (await figures_of(first, "wms")).delivered < 2:  # noqa: ASYNC110 - what is noted sets no event
                await asyncio.sleep(0.01)
    second = await house.open(webhooks=[house.hook(host)])
    for effect in said:
        second.heard(*effect)
    async with at_work(second):
        kernel.say(second, order("O1", 3))
        await wait(lambda: len(host.told) == 3)
    assert host.versions("O1") == [1, 2, 3]
    figures = await figures_of(second, "wms")
    assert (figures.waiting, figures.delivered) == (0, 3)


async def test_a_target_that_is_new_is_told_nothing_of_what_lies_before_it(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host)])
    restored = house.gate.kernel.state.seq
    outward.heard(restored, 0, 1, order("OLD", 1))
    async with at_work(outward):
        kernel.say(outward, order("O1", 1))
        await wait(lambda: len(host.told) == 1)
    assert host.versions("OLD") == []


async def test_another_journal_under_the_same_store_gets_ids_of_its_own(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    first = await house.open(webhooks=[house.hook(host)])
    said = kernel.say(first, order("O1", 1))
    await first.flush()
    house.gate.kernel.state.seq = 1_000  # restored from another journal, or an older copy
    second = await house.open(webhooks=[house.hook(host)])
    second.heard(*said[0])
    async with at_work(second):
        await wait(lambda: len(host.told) == 2)
    assert len({e["id"] for e in host.told}) == 2


async def test_only_what_a_target_wants_waits_for_it(house: House, host: Host, kernel: Kernelspeak, wait: Any) -> None:
    outward = await house.open(
        webhooks=[
            house.hook(host, client="wms", events=["order", "alarm"]),
            house.hook(host, id="steps", events=["step"]),
        ]
    )
    kernel.say(outward, order("O1", 1), order("SHOP", 1, client="shop"), step("SHOP", "shop"), alarm(), alarm(False))
    kernel.say(outward, Reply("wms", "r1", True))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 4)
    types = sorted(e["type"] for e in host.told)
    assert types == ["alarm.cleared", "alarm.raised", "order.started", "step.finished"]
    raised = next(e for e in host.told if e["type"] == "alarm.raised")
    assert raised["data"] == {
        "alarm": "C1/jam", "source": "C1", "code": "jam", "text": "Zone 3 is jammed", "active": True,
    }  # fmt: skip


async def test_memory_is_bounded_and_no_snapshot_may_be_taken_beyond(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host)], memory_max=3)
    said = kernel.say(outward, *(order("O1", version) for version in range(1, 6)))
    with pytest.raises(NotKept, match="3 events wait"):
        await outward.flush()
    assert (await figures_of(outward, "outbox")).state == "full"
    assert len(house.said("outbox is full")) == 1
    said += kernel.say(outward, order("O1", 6))  # there is room now; it must not overtake what is missing
    async with at_work(outward):
        await wait(lambda: len(host.told) == 3)
    # The restart: no snapshot was taken, so the journal gives all of it again.
    second = await house.open(webhooks=[house.hook(host)], memory_max=100)
    for effect in said:
        second.heard(*effect)
    await second.flush()
    async with at_work(second):
        await wait(lambda: len(host.told) == 6)
    assert host.versions("O1") == [1, 2, 3, 4, 5, 6]


async def test_a_disk_that_takes_nothing_is_told_and_tried_again(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host)])
    blocker = apsw.Connection(str(house.folder / "host.sqlite"))
    store: Any = house._stores[0]
    await store.read(lambda c: c.set_busy_timeout(1))
    blocker.execute("begin immediate")
    kernel.say(outward, order("O1", 1))
    with pytest.raises(NotKept, match="can't be written down"):
        await outward.flush()
    blocker.execute("rollback")
    await outward.flush()
    async with at_work(outward):
        await wait(lambda: host.versions("O1") == [1])
    blocker.close()


async def test_too_many_waiting_make_room_and_the_host_is_told_of_the_gap(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    await host.close()
    outward = await house.open(webhooks=[house.hook(host, waiting_max=100)])
    for number in range(150):
        kernel.say(outward, order(f"O{number}", 1))
    await outward.flush()
    for number in range(150, 170):
        kernel.say(outward, order(f"O{number}", 1))
    await outward.flush()
    figures = await figures_of(outward, "wms")
    assert (figures.waiting, figures.dropped) == (100, 71)
    assert [call["count"] for call in house.said("events dropped")] == [51, 20]
    await host.open()
    async with at_work(outward):
        await wait(lambda: len(host.told) == 100)
    gaps = [e for e in host.told if e["type"] == "outbox.gap"]
    assert [gap["data"]["dropped"] for gap in gaps] == [71]
    assert len([e for e in host.told if e["type"] == "order.started"]) == 99


async def test_what_waits_too_long_is_dropped_and_told(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host, waiting_hours_max=1)])
    hours_ago_ns = house.gate.now_ns() - 2 * 3_600 * 10**9
    for number in range(5):
        outward.heard(kernel.seq + number + 1, 0, hours_ago_ns, order(f"O{number}", 1))
    outward.heard(kernel.seq + 9, 0, house.gate.now_ns(), order("NEW", 1))
    await outward.flush()
    dropped = await outward._outbox.drop_older(house.gate.now_ns())
    assert dropped == {"wms": 5}
    assert await outward._outbox.drop_older(house.gate.now_ns()) == {}
    async with at_work(outward):
        await wait(lambda: len(host.told) == 2)
    assert sorted(e["type"] for e in host.told) == ["order.started", "outbox.gap"]


async def test_a_target_that_has_left_the_yaml_keeps_what_waits(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    first = await house.open(webhooks=[house.hook(host)])
    kernel.say(first, order("O1", 1))
    await first.flush()
    second = await house.open()
    assert (await figures_of(second, "wms")).state == "removed"
    assert len(house.said("events wait for a target that the YAML does not have")) == 1
    third = await house.open(webhooks=[house.hook(host)])
    async with at_work(third):
        await wait(lambda: host.versions("O1") == [1])


async def test_without_targets_nothing_is_kept(house: House, kernel: Kernelspeak) -> None:
    outward = await house.open()
    kernel.say(outward, order("O1", 1))
    await outward.flush()
    async with at_work(outward):
        pass
    assert [f.target for f in await outward.figures()] == ["outbox"]
    assert OutwardSpec() == OutwardSpec.model_validate(OutwardSpec().model_dump(mode="json"))
