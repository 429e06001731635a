"""The formats in which hosts send: pure readers from bytes to plain records.

No reader does I/O, asks for the time or knows the site: what a record means here is for a channel's mapping to say.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.host.formats.csv_rows import read as read_csv
from gateway.host.formats.edifact import read as read_edifact
from gateway.host.formats.json_records import read as read_json
from gateway.host.formats.record import Limits, Reader, Record, Unreadable
from gateway.host.formats.shopify import read as read_shopify
from gateway.host.formats.woocommerce import read as read_woocommerce
from gateway.host.formats.x12 import read as read_x12

READERS: Mapping[str, Reader] = {
    "json": read_json,
    "csv": read_csv,
    "edifact": read_edifact,
    "x12": read_x12,
    "shopify": read_shopify,
    "woocommerce": read_woocommerce,
}

__all__ = ["READERS", "Limits", "Reader", "Record", "Unreadable"]
