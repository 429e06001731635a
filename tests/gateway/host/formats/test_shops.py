"""Shopify and WooCommerce: signatures, what the headers say, and the order's record."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from gateway.host.formats import READERS, Limits, Unreadable
from gateway.host.formats.shopify import event as shopify_event
from gateway.host.formats.shopify import verify_shopify
from gateway.host.formats.woocommerce import event as woocommerce_event
from gateway.host.formats.woocommerce import is_ping, verify_woocommerce

LIMITS = Limits()
SECRET = b"hush"
Verify = Callable[[bytes, Mapping[str, str], bytes], str | None]
SHOPS = [(verify_shopify, "X-Shopify-Hmac-Sha256"), (verify_woocommerce, "X-WC-Webhook-Signature")]


def signed(body: bytes, secret: bytes = SECRET) -> str:
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(("verify", "name"), SHOPS)
def test_a_good_signature(verify: Verify, name: str) -> None:
    body = b'{"id": 1}\n'
    for spelling in (name, name.lower(), name.upper()):
        assert verify(SECRET, {"Content-Type": "application/json", spelling: signed(body)}, body) is None


def test_a_known_signature() -> None:
    """RFC 4231, test case 2: not computed by the code under test's own means."""
    digest = bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
    headers = {"x-shopify-hmac-sha256": base64.b64encode(digest).decode()}
    assert verify_shopify(b"Jefe", headers, b"what do ya want for nothing?") is None
    assert verify_shopify(b"Jefe", headers, b"what do ya want for nothing!") is not None


@pytest.mark.parametrize(("verify", "name"), SHOPS)
def test_bad_signatures(verify: Verify, name: str) -> None:
    body = b'{"id": 1}'
    good = signed(body)
    for headers, secret, reason in [
        ({}, SECRET, "no header"),
        ({name: ""}, SECRET, "no header"),
        ({name: good, name.lower(): good}, SECRET, "comes 2 times"),
        ({name: "nonsense!"}, SECRET, "is no base64"),
        ({name: "ü"}, SECRET, "is no base64"),
        ({name: base64.b64encode(b"short").decode()}, SECRET, "holds 5 bytes, not 32"),
        ({name: hmac.new(SECRET, body, hashlib.sha256).hexdigest()}, SECRET, "holds 48 bytes, not 32"),
        ({name: signed(body, b"other")}, SECRET, "is not the signature of this body"),
        ({name: signed(body + b" ")}, SECRET, "is not the signature of this body"),
        ({name: signed(body, b"")}, b"", "no secret is set"),
    ]:
        assert reason in (verify(secret, headers, body) or "")


def test_no_reason_tells_the_secret_or_the_signature() -> None:
    reason = verify_shopify(SECRET, {"x-shopify-hmac-sha256": signed(b"x", b"other")}, b"x") or ""
    assert "hush" not in reason
    assert signed(b"x") not in reason


def test_what_shopify_says_in_headers() -> None:
    event = shopify_event(
        {
            "X-Shopify-Topic": "orders/create",
            "X-SHOPIFY-WEBHOOK-ID": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            "x-shopify-event-id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
            "X-Shopify-Shop-Domain": "Keramik-Nord.myshopify.com",
        }
    )
    assert (event.topic, event.delivery[:8], event.event[:8], event.shop) == (
        "orders/create",
        "b54557e4",
        "98880550",
        "keramik-nord.myshopify.com",
    )
    assert shopify_event({"x-shopify-topic": "x" * 201}).topic == ""


def test_what_woocommerce_says_in_headers() -> None:
    event = woocommerce_event({"X-WC-Webhook-Topic": "order.created", "X-WC-Webhook-Delivery-ID": "ab12"})
    assert (event.topic, event.delivery, event.event, event.shop) == ("order.created", "ab12", "", "")


def test_the_ping_of_a_new_woocommerce_webhook(sample: Callable[[str], bytes]) -> None:
    body = sample("woocommerce_ping.txt")
    assert is_ping({"Content-Type": "application/x-www-form-urlencoded"}, body)
    assert not is_ping({"X-WC-Webhook-Topic": "order.created"}, body)
    assert not is_ping({}, b'{"id": 1}')
    assert not is_ping({}, body + b"&id=7")
    with pytest.raises(Unreadable):
        READERS["woocommerce"](body, LIMITS)


def one(shop: str, body: bytes) -> dict[str, Any]:
    [record] = READERS[shop](body, LIMITS)
    return record


def test_a_shopify_order(sample: Callable[[str], bytes]) -> None:
    record = one("shopify", sample("shopify_orders_create.json"))
    assert (record["id"], record["order"], record["number"]) == ("5930123456789", "#1042", "1042")
    assert (record["cancelled"], record["paid"], record["test"]) == (False, True, False)
    assert record["shipping"]["title"] == "Express (1 Tag)"
    assert (record["tags"], record["attributes"]["delivery-date"]) == (["priority", "gift"], "2026-11-27")
    assert record["deliver_to"] == {
        "name": "Ada Lovelace",
        "company": "Analytical GmbH",
        "street": "Hauptstraße 1, Hinterhaus",
        "city": "Berlin",
        "region": "",
        "postcode": "10115",
        "country": "DE",
    }
    pot, voucher = record["lines"]
    assert (pot["sku"], pot["variant"], pot["quantity"], pot["to_ship"], pot["weight_g"]) == (
        "TK-BLAU",
        "45100",
        2,
        True,
        700,
    )
    assert pot["properties"] == {"engraving": "A. L."}
    assert (voucher["sku"], voucher["to_ship"]) == ("", False)


def test_a_cancelled_shopify_order(sample: Callable[[str], bytes]) -> None:
    record = one("shopify", sample("shopify_orders_cancelled.json"))
    assert (record["cancelled"], record["cancel_reason"], record["cancelled_at"]) == (
        True,
        "customer",
        "2026-11-25T10:00:00+01:00",
    )
    [line] = record["lines"]
    assert (line["ordered"], line["quantity"], line["product"]) == (1, 0, "")


def test_a_woocommerce_order(sample: Callable[[str], bytes]) -> None:
    record = one("woocommerce", sample("woocommerce_order_created.json"))
    assert (record["id"], record["order"], record["status"], record["paid"]) == ("727", "727", "processing", True)
    assert (record["created"], record["updated"]) == ("2026-11-25T08:30:06Z", "2026-11-25T08:30:08Z")
    assert (record["shipping"]["code"], record["shipping"]["title"]) == ("flat_rate", "Livraison express")
    assert (record["deliver_to"]["street"], record["deliver_to"]["country"]) == ("1 Rue de la Gare, Bâtiment C", "FR")
    tea, cup = record["lines"]
    assert (tea["sku"], tea["variant"], tea["title"], tea["quantity"]) == ("THE-250", "94", "Thé vert", 2)
    assert tea["properties"] == {"pa_poids": "250-g"}
    assert (cup["sku"], cup["variant"], cup["title"]) == ("", "", "Tasse")


def test_a_deleted_woocommerce_order(sample: Callable[[str], bytes]) -> None:
    record = one("woocommerce", sample("woocommerce_order_deleted.json"))
    assert (record["id"], record["deleted"], record["cancelled"], record["lines"]) == ("726", True, True, [])


def test_a_deleted_shopify_order() -> None:
    """orders/delete has nothing but the id."""
    record = one("shopify", b'{"id": 820982911946154508}')
    assert (record["id"], record["order"], record["deleted"], record["cancelled"]) == (
        "820982911946154508",
        "820982911946154508",
        True,
        True,
    )


def test_a_shipping_method_that_was_taken_away_is_not_the_method() -> None:
    lines = [{"id": 1, "title": "Standard", "is_removed": True}, {"id": 2, "title": "Express", "is_removed": False}]
    assert one("shopify", json.dumps({"id": 1, "shipping_lines": lines}).encode())["shipping"]["title"] == "Express"


def test_both_shops_have_one_shape(sample: Callable[[str], bytes]) -> None:
    first = one("shopify", sample("shopify_orders_create.json"))
    second = one("woocommerce", sample("woocommerce_order_created.json"))
    assert list(first) == list(second)
    assert list(first["lines"][0]) == list(second["lines"][0])


@pytest.mark.parametrize("shop", ["shopify", "woocommerce"])
def test_money_and_contacts_are_left_out(shop: str, sample: Callable[[str], bytes]) -> None:
    name = {"shopify": "shopify_orders_create.json", "woocommerce": "woocommerce_order_created.json"}[shop]
    told = json.dumps(one(shop, sample(name)), ensure_ascii=False)
    for left_out in ("@example.com", "203.0.113", "58.00", "54.90", "EUR", "+49", "0320000000"):
        assert left_out not in told


@pytest.mark.parametrize("shop", ["shopify", "woocommerce"])
@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ([], "order: a list, not an object"),
        ({}, "order.id: missing"),
        ({"id": None}, "order.id: missing"),
        ({"id": True}, "order.id: True is not text"),
        ({"id": 1, "line_items": {}}, "order.line_items: {} is not a list"),
        ({"id": 1, "line_items": [{"sku": "A"}]}, r"order.line_items\[0\].id: missing"),
        ({"id": 1, "line_items": [{"id": 1}, 7]}, r"order.line_items\[1\]: a int, not an object"),
        ({"id": 1, "line_items": [{"id": 1, "sku": ["A"]}]}, r"order.line_items\[0\].sku: \['A'\] is not text"),
        ({"id": 1, "line_items": [{"id": 1, "quantity": "2"}]}, r"order.line_items\[0\].quantity: '2' is not"),
        ({"id": 1, "shipping_lines": [None]}, r"order.shipping_lines\[0\]: a NoneType"),
        ({"id": 1, "line_items": [{"id": 1}] * 10_001}, "order.line_items: 10001 entries, at most 10000"),
    ],
)
def test_shapes_that_can_not_be(shop: str, order: object, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        READERS[shop](json.dumps(order).encode(), LIMITS)
