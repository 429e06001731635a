"""Signatures of shop webhooks: base64 of the HMAC-SHA256 of the body's bytes as they came."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from gateway.contract import Struct

HEADER_LENGTH_MAX = 200
"""A signature has 44 characters; ids, topics and shop names are short."""


class Event(Struct, frozen=True):
    """What the headers of a webhook say. Only as good as its signature: Shopify and WooCommerce sign the body alone, so
    whoever can repeat a signed body can give it another topic."""

    topic: str
    """ "orders/create" (Shopify) or "order.created" (WooCommerce), in lower case; "" = none."""
    delivery: str
    """The delivery's id: the same when the shop sends the same delivery again."""
    event: str
    """Shopify: the id of what happened, the same in all deliveries about it, one for each subscription.
    WooCommerce has none: ""."""
    shop: str
    """Shopify: the shop's domain. WooCommerce: its address."""


def header(headers: Mapping[str, str], name: str) -> str:
    """A header whatever its case, without blanks around it; "" where it is missing or too long to be meant."""
    for found, value in headers.items():
        if found.lower() == name:
            return value.strip() if len(value) <= HEADER_LENGTH_MAX else ""
    return ""


def verify(secret: bytes, headers: Mapping[str, str], body: bytes, name: str) -> str | None:
    """None = the body is whose who knows the secret, else the reason. Compares in constant time."""
    if not secret:
        return "no secret is set for this hook: set one, else anybody could send"
    found = [value for key, value in headers.items() if key.lower() == name]
    if len(found) != 1 or not found[0].strip():
        return f"no header {name}" if len(found) < 2 else f"header {name} comes {len(found)} times"
    try:
        signature = base64.b64decode(found[0].strip(), validate=True)
    except (binascii.Error, ValueError):
        return f"header {name} is no base64"
    expected = hmac.new(secret, body, hashlib.sha256).digest()
    if len(signature) != len(expected):
        return f"header {name} holds {len(signature)} bytes, not {len(expected)}"
    if not hmac.compare_digest(signature, expected):
        return f"header {name} is not the signature of this body with this hook's secret"
    return None
