"""docs/formats.md against the records that come out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.host.formats import READERS, Limits

PAGE = (Path(__file__).parents[4] / "docs" / "formats.md").read_text(encoding="utf-8")
EXAMPLES = {
    found["format"]: found
    for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    if isinstance(found := json.loads(block), dict)
}
SHOWN = {
    "edifact": "orders.edi",
    "shopify": "shopify_orders_create.json",
}
RECORDS = {
    "orders.edi": "## edifact and x12",
    "desadv.edi": "## edifact and x12",
    "850_860.x12": "## edifact and x12",
    "shopify_orders_create.json": "## shopify and woocommerce",
    "woocommerce_order_created.json": "## shopify and woocommerce",
}


def reader_of(name: str) -> str:
    return {"edi": "edifact", "x12": "x12"}.get(name.rpartition(".")[2], name.partition("_")[0])


def within(told: Any, real: Any, place: str) -> None:
    """All that the page tells is there; the page may leave out."""
    if isinstance(told, dict):
        for key, value in told.items():
            assert key in real, f"{place}.{key}"
            within(value, real[key], f"{place}.{key}")
    elif isinstance(told, list):
        for number, value in enumerate(told):
            within(value, real[number], f"{place}[{number}]")
    else:
        assert told == real, place


@pytest.mark.parametrize("name", SHOWN)
def test_examples_are_what_comes_out(name: str, sample: Callable[[str], bytes]) -> None:
    [record] = READERS[name](sample(SHOWN[name]), Limits())
    within(EXAMPLES[name], record, name)


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_is_told(name: str, sample: Callable[[str], bytes]) -> None:
    section = PAGE.split(RECORDS[name])[1].split("\n## ")[0]
    told = set(re.findall(r"`(\w+)`", section))
    record: Any = READERS[reader_of(name)](sample(name), Limits())[0]
    parts = [record, *record["lines"], *record.get("packages", []), record.get("deliver_to", {}), record["lines"][0]]
    parts += [*record.get("parties", {}).values(), record.get("transport", {}), record.get("shipping", {})]
    for part in parts:
        assert set(part) <= told
    if "dates" in record:
        assert set(record["dates"]) <= told
        assert set(record["parties"]) <= told
