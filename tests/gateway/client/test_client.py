"""Both clients over real sockets: all that they offer, in the order in which a host and a hand-held use it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gateway.client import Client, Destination, NewOrder, NotReached, Refused, Retries, Step
from gateway.contract import LinkChanged
from gateway.site import HttpSpec

T = TypeVar("T")
GO = (Step("a", "move", "L1", "RACK-2"),)


async def aside(work: Callable[[], T]) -> T:
    """Whoever waits for an answer must not hold up the gateway, which runs on this loop."""
    return await asyncio.to_thread(work)


async def test_orders_are_made_looked_at_changed_held_and_cancelled(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1", ["376123"])
        until = datetime(2027, 1, 1, 8, tzinfo=UTC)
        done = await client.orders.create("O 1", GO, priority=2, deadline=until, key="first")
        assert (done.id, done.request_id, done.repeated) == ("O 1", "first", False)
        order = await client.orders.get("O 1")
        assert (order.client, order.priority, order.deadline, order.state) == ("the-operator", 2, until, "released")
        assert [(s.step, s.load, s.state) for s in order.steps] == [("a", "L1", "ready")]
        assert order.etag.startswith(f'"{order.version}-')
        told = await client.orders.explain("O 1")
        assert "waits for a vehicle" in told.reasons[0]
        await client.orders.change("O 1", priority=1, no_deadline=True, version=order.version)
        changed = await client.orders.get("O 1")
        assert (changed.priority, changed.deadline, changed.version) == (1, None, order.version + 1)
        with pytest.raises(Refused) as refused:
            await client.orders.hold("O 1", "wait for Eva", version=order.version)
        assert (refused.value.code, refused.value.status) == ("version", 412)
        await client.orders.hold("O 1", "warte auf Jörg", version=changed.etag)
        held = await client.orders.get("O 1")
        assert (held.state, held.held) == ("interrupted", "warte auf Jörg")
        await client.orders.resume("O 1")
        await client.orders.cancel("O 1", "not wanted")
        assert [o.order async for o in client.orders.browse(state=["cancelled"])] == ["O 1"]
        assert [o.order async for o in client.orders.reconcile()] == []
        since = datetime.now(UTC) - timedelta(hours=1)
        page = await client.orders.reconcile(client="the-operator", ended_since=since).page()
        assert [(o.order, o.reason) for o in page.items] == [("O 1", "not wanted")]
        assert page.input == gateway.state.seq


async def test_a_program_that_waits_says_the_same(gateway: Any) -> None:
    def work() -> list[str]:
        with gateway.client() as client:
            client.loads.announce("L1", "RACK-1")
            client.orders.create("O1", GO)
            assert client.orders.get("O1").steps[0].to == "RACK-2"
            return [order.order for order in client.orders.browse(load="L1")]

    assert await aside(work) == ["O1"]


async def test_of_a_list_each_has_its_own_outcome_and_lists_go_over_pages(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1")
        many = [NewOrder(f"O{n}", GO) for n in range(25)]
        sent = [*many, NewOrder("bad", (Step("a", "move", "L9", "RACK-2"),))]
        results = await client.orders.create_many(sent, key="b")
        assert (results.accepted, results.refused) == (25, 1)
        assert results.results[-1].code == "invalid"
        assert await client.orders.create_many(sent, key="b") == results
        assert gateway.state.tally.orders_accepted == 25
        names = [order.order async for order in client.orders.browse(limit=4)]
        assert names == [order.order for order in many]
        newest = client.orders.browse(sort="newest", limit=3)
        page = await newest.page()
        assert [order.order for order in page.items] == ["O24", "O23", "O22"]
        behind = await client.orders.browse(sort="newest", limit=3, cursor=page.next).page()
        assert [order.order for order in behind.items] == ["O21", "O20", "O19"]

    def work() -> list[str]:
        with gateway.client() as waiting:
            return [order.order for order in waiting.orders.reconcile(limit=7)]

    assert await aside(work) == names


async def test_loads_are_told_with_versions_and_ids_of_any_kind(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        for name in ("C1/7 ä?#%", "..", ".", "a+b", "T1"):
            await client.loads.announce(name, "RACK-1")
            assert (await client.loads.get(name)).load == name
        load = await client.loads.get("T1")
        await client.loads.announce("T1", "RACK-2", version=load.etag, reason="found there")
        with pytest.raises(Refused) as refused:
            await client.loads.announce("T1", "RACK-3", version=load.etag)
        assert refused.value.code == "version"
        place = await client.locations.get("RACK-2")
        assert (place.loads, place.free) == (("T1",), 39)
        assert "RACK-2" in [p.location async for p in client.locations.browse(kind="rack", limit=2)]
        await client.loads.remove("T1", "taken away")
        with pytest.raises(Refused) as refused:
            await client.loads.get("T1")
        assert (refused.value.code, refused.value.status) == ("unknown", 404)
        assert "list of its kind" in refused.value.next
        assert len([each async for each in client.loads.browse(location="RACK-1", limit=1)]) == 4


async def test_devices_commands_and_alarms(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        devices = [device async for device in client.devices.browse(limit=3)]
        assert {"AGV1", "C1", "S1", "RC1", "WS1"} <= {device.device for device in devices}
        await client.devices.hold("AGV1", "cleaning")
        device = await client.devices.get("AGV1")
        assert (device.held, device.link.state) == ("cleaning", "down")
        await client.devices.resume("AGV1", version=device.etag)
        await client.devices.mode("C1", "maintenance", "new belt")
        assert (await client.devices.get("C1")).mode == "maintenance"
        with pytest.raises(Refused) as refused:
            await client.devices.reset("none")
        assert refused.value.code == "unknown"
        commands = [each async for each in client.commands.browse(device="AGV1", limit=1)]
        assert [each.state for each in commands] == ["queued", "queued"]
        with pytest.raises(Refused) as refused:
            await client.commands.resolve(commands[0].command, "looked at it", done=True)
        assert refused.value.code == "conflict"
        await client.workers.sign_on("anna", "WS1")
        await client.workers.help("anna", "the tote is stuck")
        (alarm,) = [each async for each in client.alarms.browse() if "help" in each.code]
        assert alarm.text.endswith("the tote is stuck")
        await client.alarms.shelve(alarm.alarm, datetime.now(UTC) + timedelta(hours=1), "on its way")
        assert alarm.alarm in [each.alarm async for each in client.alarms.browse(shelved="only")]
        await client.alarms.unshelve(alarm.alarm)
        await client.alarms.acknowledge(alarm.alarm)
        assert alarm.alarm not in [each.alarm async for each in client.alarms.browse(shelved="too")]


async def test_a_hand_held_takes_up_work_and_ends_it(gateway: Any) -> None:
    gateway.house.runtime.inbox.post(LinkChanged("WS1", "up", "there"))
    async with gateway.loop_client() as client:
        await client.workers.sign_on("anna", "WS1")
        assert (await client.workers.get("anna")).station == "WS1"
        assert {w.person for w in [each async for each in client.workers.browse(limit=1)]} == {"anna", "ben", "cleo"}
        for name, end in (("O1", "confirm"), ("O2", "short"), ("O3", "damaged")):
            await client.loads.announce(f"L-{name}", "WS1-BENCH", [f"code {name}"])
            await client.orders.create(name, [Step("pick", "work", f"L-{name}", skill="pick", recipe="2 x 4711")])
            work = (await client.work.browse(person="anna")).work[0]
            assert (work.state, work.recipe, work.barcodes[0]) == ("offered", "2 x 4711", f"code {name}")
            await client.work.accept(work.work, "anna")
            assert (await client.workers.get("anna")).work == work.work
            match end:
                case "confirm":
                    await client.work.confirm(work.work, "anna")
                case "short":
                    await client.work.short(work.work, "anna", 1, "only one")
                case _:
                    await client.work.damaged(work.work, "anna", "wet")
            await client.loads.remove(f"L-{name}")
        ended = {o.order: (o.state, o.reason) async for o in client.orders.browse()}
        assert ended["O1"][0] == "finished"
        assert ended["O2"][0] == "failed"
        assert "short, found 1: only one" in ended["O2"][1]
        assert "damaged: wet" in ended["O3"][1]
        await client.workers.sign_off("anna")


async def test_sort_plans_are_uploaded_put_in_force_and_taken_back(gateway: Any) -> None:
    plan = {"BERLIN": Destination("S1", (2, 3)), "PARIS": Destination("S1", (1,))}
    async with gateway.loop_client("engineer") as client:
        assert (await client.sort_plans.active()).source == "yaml"
        assert (await client.sort_plans.validate("night", plan)).valid
        assert "S9" in (await client.sort_plans.validate("night", {"X": Destination("S9", (1,))})).problem
        kept = await client.sort_plans.upload("night", plan, key="up")
        again = await client.sort_plans.upload("night", plan, key="up")
        assert (kept.version, kept.repeated, again.version, again.repeated) == (1, False, 1, True)
        await client.sort_plans.activate("night", 1, "night shift")
        active = await client.sort_plans.active()
        assert (active.id, active.version, active.destinations["BERLIN"].lanes) == ("night", 1, (2, 3))
        await client.sort_plans.use_yaml("day")
        changes = [change async for change in client.sort_plans.history(limit=1)]
        assert [(change.id, change.why) for change in changes][-1] == ("night", "night shift")
        assert [line.version async for line in client.sort_plans.browse()] == [1]
        assert (await client.sort_plans.get("night", 1)).who == "the-engineer"
        assert [letter async for letter in client.dead_letters.browse()] == []
        with pytest.raises(Refused):
            await client.dead_letters.replay([1])


async def test_status_is_for_probes_and_people(gateway: Any) -> None:
    async with gateway.loop_client("viewer") as client:
        assert (await client.status.health()).status == "alive"
        ready = await client.status.ready()
        assert (ready.ready, ready.live) == (True, True)
        about = await client.status.about()
        assert (about.site, about.last_input) == ("Demo", gateway.state.seq)
        assert (await client.status.summary()).devices["refused"] > 0
        who = await client.status.who()
        assert (who.name, who.kind, who.role) == ("the-viewer", "key", "viewer")
        with pytest.raises(Refused) as refused:
            await client.loads.announce("L1", "RACK-1")
        assert (refused.value.code, refused.value.status) == ("forbidden", 403)
    async with gateway.loop_client("") as nobody:
        assert (await nobody.status.ready()).links is None
        with pytest.raises(Refused) as refused:
            await nobody.status.about()
        assert refused.value.code == "unauthorized"


async def test_what_is_wrong_with_a_body_is_told_field_by_field(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        with pytest.raises(Refused) as refused:
            await client.orders.create("O/1", [Step("a", "move", "L" * 65, "RACK-2")], priority=9)
        assert {error.path for error in refused.value.errors} == {"/order", "/steps/0/load", "/priority"}


async def test_too_many_requests_are_told_with_when_to_come_again(gateway_of: Any, fast: Any) -> None:
    rate = {**fast["rate"], "writes": {"per_s": 1, "burst": 2}}
    gateway = await gateway_of({"rate": rate})
    async with gateway.loop_client(retries=Retries(tries_max=3, total_s_max=0.5)) as client:
        for number in range(2):
            await client.loads.announce(f"L{number}", "RACK-1")
        with pytest.raises(Refused) as refused:
            await client.loads.announce("L2", "RACK-1")
        assert (refused.value.code, refused.value.retry_after_s) == ("limit", 1.0)
    async with gateway.loop_client(retries=Retries(tries_max=3)) as patient:
        await patient.loads.announce("L9", "RACK-1")
    assert "L9" in gateway.state.loads


async def test_a_certificate_is_looked_at(gateway: Any, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert),
    ]  # fmt: skip
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    await gateway.stopped()
    gateway.use(HttpSpec(port=0, tls={"cert_file": str(cert), "key_file": str(key)}))  # type: ignore[arg-type]
    await gateway.start()
    url, secret = f"https://127.0.0.1:{gateway.server.port}", gateway.house.keys["operator"]

    def trusting(**options: Any) -> str:
        with Client(url, secret, **options) as client:
            return client.status.who().name

    with pytest.raises(NotReached, match="ca_file"):
        await aside(trusting)
    assert await aside(lambda: trusting(ca_file=str(cert))) == "the-operator"
    assert await aside(lambda: trusting(verify=False)) == "the-operator"


def test_it_is_small_and_knows_nothing_of_the_gateway() -> None:
    """Programs of others start with it: it brings no web framework, and none of the gateway's own floors."""
    code = (
        "import time; began = time.process_time(); import gateway.client; took = time.process_time() - began\n"
        "import sys; print(took, *sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    took, *modules = done.stdout.split()
    assert float(took) < 0.3
    tops = {module.partition(".")[0] for module in modules}
    assert tops.isdisjoint({"pydantic", "fastapi", "starlette", "uvicorn", "websockets", "apsw", "transitions"})
    own = {module for module in modules if module.startswith("gateway.")}
    assert {module for module in own if not module.startswith("gateway.client")} == set()
