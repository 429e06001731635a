"""Records from WooCommerce's order webhooks: order.created, order.updated, order.deleted, order.restored.

Shape: WooCommerce REST API v2 and v3, Order. Headers, signature and ping: WooCommerce's own class WC_Webhook. From it
follow three things that its documentation does not say:

- The ping that it sends when a webhook is saved is a form (`webhook_id=12`) without a signature and without any X-WC
  header. It wants a plain 200, else the shop shows an error (`is_ping`).
- order.deleted has nothing but the id: {"id": 123}.
- X-WC-Webhook-Delivery-ID is a hash of the webhook's id and the second: two orders that change in one second come with
  the same id. So it is no request id; `read` gives what makes one (id, status, updated).

Money, e-mail addresses, telephone numbers, IP addresses, payment details and free meta data of the order are not read:
no movement of goods depends on them, and what is not kept can't leak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.host.formats.json_records import document
from gateway.host.formats.record import Limits, Record
from gateway.host.formats.shop_fields import Fields, address
from gateway.host.formats.shop_signature import Event, header, verify

SIGNATURE = "x-wc-webhook-signature"
PING = re.compile(rb"webhook_id=\d{1,19}\Z")
CANCELLED = ("cancelled", "failed", "trash")
"""Statuses in which nothing is to be sent; "refunded" may come after the goods have left."""
PAID = ("processing", "completed")


def verify_woocommerce(secret: bytes, headers: Mapping[str, str], body: bytes) -> str | None:
    """None = signed with `secret` (the webhook's own), else the reason. `body` as it came, before any parsing."""
    return verify(secret, headers, body, SIGNATURE)


def is_ping(headers: Mapping[str, str], body: bytes) -> bool:
    """The unsigned test of a new webhook: answer 200, do nothing. It can't carry an order."""
    return PING.match(body.strip()) is not None and not any(name.lower().startswith("x-wc-") for name in headers)


def event(headers: Mapping[str, str]) -> Event:
    """What happened. `delivery` is no request id, see above."""
    return Event(
        topic=header(headers, "x-wc-webhook-topic").lower(),
        delivery=header(headers, "x-wc-webhook-delivery-id"),
        event="",
        shop=header(headers, "x-wc-webhook-source"),
    )


def read(data: bytes, limits: Limits) -> list[Record]:
    """One record: the order, or the id of a deleted one. docs/formats.md names the fields."""
    order = Fields(document(data, limits), "order")
    ident = order.ident("id")
    shipping = order.children("shipping_lines", limits)
    method = shipping[0] if shipping else Fields({}, "order.shipping_lines")
    status = order.text("status")
    deleted = order.only("id")
    target = order.child("shipping")
    ship_to = address(target, ("address_1", "address_2"), "country", "state", "postcode")
    return [
        {
            "format": "woocommerce",
            "id": ident,
            "order": order.text("number") or ident,
            "number": order.text("number"),
            "created": _utc(order.text("date_created_gmt")) or order.text("date_created"),
            "updated": _utc(order.text("date_modified_gmt")) or order.text("date_modified"),
            "cancelled": deleted or status in CANCELLED,
            "cancelled_at": "",
            "cancel_reason": "",
            "deleted": deleted,
            "closed_at": _utc(order.text("date_completed_gmt")),
            "status": status,
            "paid": status in PAID,
            "test": False,
            "note": order.text("customer_note"),
            "tags": [],
            "attributes": {},
            "shipping": {
                "title": method.text("method_title"),
                "code": method.text("method_id"),
                "carrier": method.text("instance_id"),
                "source": "",
            },
            "deliver_to": ship_to,
            "lines": [_line(line, limits) for line in order.children("line_items", limits)],
        }
    ]


def _line(line: Fields, limits: Limits) -> Record:
    quantity = line.number("quantity")
    variant = line.text("variation_id")
    return {
        "id": line.ident("id"),
        "sku": line.text("sku"),
        "product": line.text("product_id"),
        "variant": "" if variant == "0" else variant,
        "variant_title": "",
        "title": line.text("parent_name") or line.text("name"),
        "ordered": quantity,
        "quantity": quantity,
        "to_fulfil": None,
        "to_ship": True,
        "weight_g": None,
        "properties": line.pairs("meta_data", "key", limits),
    }


def _utc(text: str) -> str:
    """The fields that end in _gmt are UTC and do not say so."""
    return f"{text}Z" if text and not text.endswith("Z") else text
