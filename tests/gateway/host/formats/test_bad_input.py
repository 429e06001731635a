"""Every format against messages that are cut, altered or nonsense: right records, or Unreadable with a place."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.host.formats import READERS, Limits, Reader, Record, Unreadable
from gateway.host.formats.csv_rows import CsvOptions
from gateway.host.formats.csv_rows import read as read_csv
from gateway.host.formats.gs1 import read_barcode

LIMITS = Limits()
FOLDER = Path(__file__).parent / "samples"
SAMPLES: dict[str, Reader] = {
    "one.json": READERS["json"],
    "list.json": READERS["json"],
    "nested.json": READERS["json"],
    "orders.edi": READERS["edifact"],
    "orders_two_no_una.edi": READERS["edifact"],
    "ordchg_other_separators.edi": READERS["edifact"],
    "desadv.edi": READERS["edifact"],
    "insdes_wrapped.edi": READERS["edifact"],
    "850_860.x12": READERS["x12"],
    "850_spaced.x12": READERS["x12"],
    "940_other_separators.x12": READERS["x12"],
    "shopify_orders_create.json": READERS["shopify"],
    "shopify_orders_cancelled.json": READERS["shopify"],
    "woocommerce_order_created.json": READERS["woocommerce"],
    "woocommerce_order_deleted.json": READERS["woocommerce"],
}
END_MARKED = CsvOptions(delimiter=";", encoding="latin-1", end_mark="#ENDE")
TABLES: dict[str, Reader] = {
    "orders.csv": READERS["csv"],
    "orders_semicolon.csv": partial(read_csv, options=END_MARKED),
    "orders_utf16.csv": partial(read_csv, options=CsvOptions(delimiter="\t", encoding="utf-16")),
}
ALL = {**SAMPLES, **TABLES}


def check(refusal: Unreadable) -> None:
    assert refusal.place
    assert refusal.problem
    assert refusal.way_on
    # A reply and a log take it as it is.
    assert str(refusal).encode()
    assert len(str(refusal)) < 1_000


def outcome(read: Reader, data: bytes) -> list[Record] | None:
    """The records, or None for a refusal that names a place and a way on. Anything else fails the test."""
    try:
        records = read(data, LIMITS)
    except Unreadable as refusal:
        check(refusal)
        return None
    # Plain values that a journal can hold: no NaN, no half surrogate pairs.
    msgspec.json.encode(records)
    return records


@pytest.mark.parametrize("name", SAMPLES)
def test_a_cut_message_is_refused_or_whole(name: str, sample: Callable[[str], bytes]) -> None:
    """At every byte: what is cut off within the message is refused; only what stands behind its end may be missing."""
    data, read = sample(name), SAMPLES[name]
    whole = outcome(read, data)
    assert whole
    for length in range(len(data)):
        found = outcome(read, data[:length])
        assert found is None or found == whole, length


@pytest.mark.parametrize("name", TABLES)
def test_a_cut_table_is_refused_or_ends_with_a_row(name: str, sample: Callable[[str], bytes]) -> None:
    """Rows have no end but the newline: without an end mark, a file cut exactly there looks like a shorter one."""
    data, read = sample(name), TABLES[name]
    whole = outcome(read, data)
    assert whole
    for length in range(len(data)):
        found = outcome(read, data[:length])
        assert found is None or found == whole[: len(found)], length
        if name == "orders_semicolon.csv":
            assert found is None, length


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_altered_message_is_refused_or_read(name: str, data: st.DataObject) -> None:
    message = bytearray((FOLDER / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message) - 1))
        match data.draw(st.sampled_from(("flip", "set", "drop", "double"))):
            case "flip":
                message[at] ^= 1 << data.draw(st.integers(0, 7))
            case "set":
                message[at] = data.draw(st.sampled_from(b"\0\n\r'+:?*~|\"{}[],;\\\x80\xff 09aZ"))
            case "drop":
                del message[at : at + data.draw(st.integers(1, 40))]
                message = message or bytearray(b" ")
            case _:
                message[at:at] = message[at : at + data.draw(st.integers(1, 40))]
    outcome(ALL[name], bytes(message))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_nonsense_is_refused_or_read(name: str, data: bytes) -> None:
    outcome(READERS[name], data)


HEADS = {
    "edifact": b"UNB+UNOC:3+A+B+261125:1000+R1'UNH+1+ORDERS:D:96A:UN'BGM+220+O1+9'",
    "x12": b"ISA*00*%10s*00*%10s*ZZ*%15s*ZZ*%15s*261125*1000*U*00401*000000001*0*P*>~" % (b"", b"", b"A", b"B"),
    "json": b'{"a":',
    "shopify": b'{"id":1,"line_items":',
    "woocommerce": b'{"id":1,"line_items":',
    "csv": b"a,b\n",
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "filling", [b"'", b"+", b":", b"?", b"*", b"~", b"[", b'"', b"\n", b'{"a":', b",", b"\xff", b"ST*"]
)
def test_much_of_one_thing_is_refused_in_bounded_time(name: str, filling: bytes) -> None:
    outcome(READERS[name], HEADS[name] + filling * (60_000 // len(filling)))


def test_a_refusal_comes_whole_out_of_a_worker_process() -> None:
    refusal = Unreadable("line 3", "holds a NUL byte", "write text", "character")
    again = pickle.loads(pickle.dumps(refusal))
    assert (str(again), again.cause) == ("line 3: holds a NUL byte; write text", "character")


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60) | st.text("0123456789()]C\x1d", max_size=60))
def test_any_text_is_a_barcode_or_not(text: str) -> None:
    try:
        found = read_barcode(text)
    except Unreadable as refusal:
        check(refusal)
        return
    assert found.key.isascii()
    assert len(found.key) in (16, 20)
