"""Records from Shopify's order webhooks: orders/create, orders/updated, orders/cancelled, and others with an order.

Shape, headers and signature: shopify.dev, "Verify webhook deliveries", "Webhooks" (orders/create sample payload) and
the REST Admin API's Order resource. The body is the order itself; what happened stands in the headers (`event`).

Money (prices, discounts, taxes, tenders) is not read, nor are e-mail addresses, telephone numbers, the customer record,
IP addresses and payment details: no movement of goods depends on them, and what is not kept can't leak.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.host.formats.json_records import document
from gateway.host.formats.record import Limits, Record
from gateway.host.formats.shop_fields import Fields, address
from gateway.host.formats.shop_signature import Event, header, verify

SIGNATURE = "x-shopify-hmac-sha256"


def verify_shopify(secret: bytes, headers: Mapping[str, str], body: bytes) -> str | None:
    """None = signed with `secret` (the app's client secret), else the reason. `body` as it came, before any parsing."""
    return verify(secret, headers, body, SIGNATURE)


def event(headers: Mapping[str, str]) -> Event:
    """What happened. A delivery that is sent again keeps X-Shopify-Webhook-Id: that is its id."""
    return Event(
        topic=header(headers, "x-shopify-topic").lower(),
        delivery=header(headers, "x-shopify-webhook-id"),
        event=header(headers, "x-shopify-event-id"),
        shop=header(headers, "x-shopify-shop-domain").lower(),
    )


def read(data: bytes, limits: Limits) -> list[Record]:
    """One record: the order, or the id of a deleted one. docs/formats.md names the fields."""
    order = Fields(document(data, limits), "order")
    shipping = [line for line in order.children("shipping_lines", limits) if not line.truth("is_removed")]
    method = shipping[0] if shipping else Fields({}, "order.shipping_lines")
    deleted = order.only("id")
    target = order.child("shipping_address")
    cancelled_at = order.text("cancelled_at")
    return [
        {
            "format": "shopify",
            "id": order.ident("id"),
            "order": order.text("name") or order.text("order_number") or order.ident("id"),
            "number": order.text("order_number"),
            "created": order.text("created_at"),
            "updated": order.text("updated_at"),
            "cancelled": deleted or cancelled_at != "",
            "cancelled_at": cancelled_at,
            "cancel_reason": order.text("cancel_reason"),
            "deleted": deleted,
            "closed_at": order.text("closed_at"),
            "status": order.text("fulfillment_status"),
            "paid": order.text("financial_status") == "paid",
            "test": order.truth("test"),
            "note": order.text("note"),
            "tags": [tag.strip() for tag in order.text("tags").split(",") if tag.strip()],
            "attributes": order.pairs("note_attributes", "name", limits),
            "shipping": {
                "title": method.text("title"),
                "code": method.text("code"),
                "carrier": method.text("carrier_identifier"),
                "source": method.text("source"),
            },
            "deliver_to": address(target, ("address1", "address2"), "country_code", "province_code", "zip"),
            "lines": [_line(line, limits) for line in order.children("line_items", limits)],
        }
    ]


def _line(line: Fields, limits: Limits) -> Record:
    quantity = line.whole("quantity")
    current = line.whole("current_quantity")
    return {
        "id": line.ident("id"),
        "sku": line.text("sku"),
        "product": line.text("product_id"),
        "variant": line.text("variant_id"),
        "variant_title": line.text("variant_title"),
        "title": line.text("title"),
        "ordered": quantity,
        # What is left after removals and refunds; older API versions do not send it.
        "quantity": quantity if current is None else current,
        "to_fulfil": line.whole("fulfillable_quantity"),
        "to_ship": line.truth("requires_shipping", otherwise=True),
        "weight_g": line.number("grams"),
        "properties": line.pairs("properties", "name", limits),
    }
