"""Webhooks of shops: only what is signed, once, and a 2xx only for what is durable."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest

from gateway.contract import CancelOrder, CreateOrder, Reply
from gateway.host.channels.hook import WAITING_MAX, Hook, HookAnswer
from gateway.shell.runtime import Runtime

from .conftest import Make, Way

EXAMPLES = Path(__file__).parents[4] / "config" / "channels"
SAMPLES = Path(__file__).parents[1] / "formats" / "samples"
SECRET = b"hush-hush"
NAMES = {"shopify": "X-Shopify-Hmac-SHA256", "woocommerce": "X-WC-Webhook-Signature"}
ORDERS = {"shopify": "shopify_orders_create.json", "woocommerce": "woocommerce_order_created.json"}
RULES: list[dict[str, Any]] = [
    {"request": "cancel_order", "when": [{"field": "cancelled", "equals": True}], "order": "{order}"},
    {
        "request": "create_order", "when": [{"field": "paid", "equals": True}], "order": "{order}",
        "steps": [{"for_each": "lines", "step": "{id}", "kind": "move", "load": "T", "to": "RACK-1"}],
    },
]  # fmt: skip


@pytest.fixture(params=["shopify", "woocommerce"])
def shop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def way_of(make: Make, shop: str, tmp_path: Path) -> Way:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    return make({
        "id": "web", "kind": "hook", "format": shop, "hook": {"secret_file": str(tmp_path / "secret")},
        "mapping": {"rules": RULES, "unmatched": "ignore"},
    })  # fmt: skip


def signed(shop: str, body: bytes, secret: bytes = SECRET) -> dict[str, str]:
    return {NAMES[shop]: base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()}


def order(shop: str) -> bytes:
    return (SAMPLES / ORDERS[shop]).read_bytes()


async def accept(way: Way, body: bytes, headers: dict[str, str]) -> HookAnswer:
    hook: Hook = way.hooks["web"]
    return await hook.accept(headers, body)


async def test_a_signed_order_is_carried_out_and_answered_when_it_is(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    body = order(shop)
    way.desk.open.clear()
    asked = asyncio.create_task(accept(way, body, signed(shop, body)))
    while not way.desk.asked:  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.01)
    assert not asked.done()
    way.desk.open.set()
    assert await asked == HookAnswer(200, "accepted")
    ((_, request),) = way.desk.asked
    assert isinstance(request, CreateOrder)


async def test_what_is_not_signed_changes_nothing(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    body = order(shop)
    for headers, sent in (
        ({}, body),
        (signed(shop, body, b"other"), body),
        (signed(shop, body), body + b" "),
        ({NAMES[shop]: "?"}, body),
        (signed(shop, body, b""), body),
    ):
        answer = await accept(way, sent, headers)
        assert answer.status == 401
    assert way.desk.asked == []
    assert [said["times"] for said in way.said("hook refused")] == [1]  # whoever can't sign may not fill the log
    assert not any(SECRET.decode() in str(call) for call in way.log.calls)


async def test_without_a_secret_nobody_comes_in(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    body = order(shop)
    (tmp_path / "secret").write_bytes(b"\n")
    assert (await accept(way, body, signed(shop, body, b""))).status == 503
    (tmp_path / "secret").unlink()
    assert (await accept(way, body, signed(shop, body))).status == 503
    (tmp_path / "secret").write_bytes(b"new")
    assert (await accept(way, body, signed(shop, body, b"new"))).status == 200


async def test_a_delivery_twice_is_answered_the_same_and_done_once(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    body = order(shop)
    way.desk.refuses = lambda request_id: Reply("web", request_id, False, "order 7 exists already", "conflict")
    headers = signed(shop, body)
    first, second = await asyncio.gather(accept(way, body, headers), accept(way, body, headers))
    assert first == second
    assert first.status == 200
    assert "order 7 exists already" in first.reason
    way.restart()  # the process starts anew
    assert await accept(way, body, headers) == first
    assert len(way.desk.asked) == 1


async def test_what_could_not_be_done_now_is_sent_again(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    body = order(shop)
    refusals = iter([("journal full", "unavailable"), ("10000 orders are open", "limit")])

    def refuse(request_id: str) -> Reply | None:
        found = next(refusals, None)
        return Reply("web", request_id, False, *found) if found is not None else None

    way.desk.refuses = refuse  # type: ignore[assignment]
    for status in (503, 503, 200, 200):
        assert (await accept(way, body, signed(shop, body))).status == status
    assert len(way.desk.asked) == 3


async def test_what_cannot_be_read_or_mapped_is_refused_with_the_reason(make: Make, shop: str, tmp_path: Path) -> None:
    way = way_of(make, shop, tmp_path)
    for body, part in ((b"{", "line 1, column 2: no JSON"), (b"[]", "order: a list, not an object"), (b"", "empty")):
        answer = await accept(way, body, signed(shop, body))
        assert (answer.status, part in answer.reason) == (422, True), answer
    strict = {**RULES[1], "order": "{nothing}"}
    way.spec = way.spec.model_validate({**way.spec.model_dump(by_alias=True), "mapping": {"rules": [strict]}})
    way.restart()
    body = order(shop)
    answer = await accept(way, body, signed(shop, body))
    assert answer.status == 422
    assert "rule 1 (create_order), order: nothing is not there" in answer.reason
    way.spec = way.spec.model_validate({**way.spec.model_dump(by_alias=True), "mapping": {"rules": RULES}})
    way.restart()  # the mapping has been mended, and the shop sends it again
    assert (await accept(way, body, signed(shop, body))).status == 200


async def test_what_the_mapping_ignores_is_answered_well(make: Make, tmp_path: Path) -> None:
    way = way_of(make, "shopify", tmp_path)
    body = b'{"id": 5, "name": "#5", "financial_status": "pending"}'
    assert await accept(way, body, signed("shopify", body)) == HookAnswer(200, "nothing to do")
    body = (SAMPLES / "shopify_orders_cancelled.json").read_bytes()
    assert (await accept(way, body, signed("shopify", body))).status == 200
    assert [type(request) for _, request in way.desk.asked] == [CancelOrder]


async def test_woocommerce_may_ping_without_a_signature(make: Make, tmp_path: Path) -> None:
    way = way_of(make, "woocommerce", tmp_path)
    assert await accept(way, (SAMPLES / "woocommerce_ping.txt").read_bytes(), {}) == HookAnswer(200, "ping")
    assert way.desk.asked == []
    assert (await accept(way_of(make, "shopify", tmp_path), b"webhook_id=12", {})).status == 401


async def test_too_much_is_refused(make: Make, tmp_path: Path) -> None:
    way = way_of(make, "shopify", tmp_path)
    body = b" " * (1024 * 1024 + 1)
    assert (await accept(way, body, signed("shopify", body))).status == 413
    way.desk.open.clear()
    bodies = [order("shopify").replace(b"#1042", b"#%d" % n) for n in range(WAITING_MAX + 1)]
    waiting = [asyncio.create_task(accept(way, body, signed("shopify", body))) for body in bodies]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert [task.result().status for task in done] == [503]
    way.desk.open.set()
    answers = await asyncio.gather(*waiting)
    assert sorted(answer.status for answer in answers) == [200] * WAITING_MAX + [503]


async def test_a_hook_works_on_the_real_gateway(make: Make, shop: str, tmp_path: Path, running: Runtime) -> None:
    way = way_of(make, shop, tmp_path)
    way.ask = running.ask
    way.restart()
    body = order(shop)
    answer = await accept(way, body, signed(shop, body))
    assert answer.status == 200
    assert "unknown load 'T': announce it first" in answer.reason
