"""X12: real-shaped interchanges, the envelope's checks, and every refusal with its segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.host.formats import READERS, Limits, Record, Unreadable

LIMITS = Limits()
ISA = "ISA*00*          *00*          *ZZ*A              *ZZ*B              *261125*1000*U*00401*000000001*0*P*>~"


def read(data: bytes | str) -> list[Any]:
    return READERS["x12"](data.encode() if isinstance(data, str) else data, LIMITS)


def order(*segments: str, kind: str = "850", group: str = "PO") -> str:
    """One transaction set around `segments`, counted."""
    body = "".join(f"{segment}~" for segment in segments)
    head = f"{ISA}GS*{group}*A*B*20261125*1000*1*X*004010~ST*{kind}*0001~"
    return f"{head}{body}SE*{len(segments) + 2}*0001~GE*1*1~IEA*1*000000001~"


def test_purchase_orders(sample: Callable[[str], bytes]) -> None:
    create, cancel, _ = read(sample("850_860.x12"))
    assert (create["format"], create["type"], create["version"]) == ("x12", "850", "004010")
    assert (create["sender"], create["receiver"], create["interchange"]) == ("ACMERETAIL", "NORTHDC", "000000905")
    assert (create["order"], create["purpose"], cancel["order"], cancel["purpose"]) == (
        "PO-88123",
        "create",
        "PO-88100",
        "cancel",
    )
    assert create["dates"] == {
        "document": "2026-11-25",
        "delivery": "2026-11-30",
        "latest": "2026-11-30T17:00:00",
        "earliest": "2026-11-29",
    }
    delivery = create["parties"]["deliver_to"]
    assert (delivery["name"], delivery["street"]) == ("Acme Store 42 Receiving", "12 Harbor Road Dock B")
    assert (delivery["city"], delivery["region"], delivery["country"]) == ("Portland", "OR", "US")
    assert create["transport"]["carrier"] == "UPSN"
    # The reference behind SAC belongs to the charge.
    assert create["references"] == {"DP": "0042", "CO": "WEB-9"}
    first, second = create["lines"]
    assert (first["item"], first["ids"], first["quantity"], first["unit"]) == (
        "036000291452",
        {"UP": "036000291452", "VN": "AC-100"},
        12,
        "EA",
    )
    assert first["description"] == "Paper towels, 6 rolls"
    assert (second["quantity"], second["ids"]["EN"], second["references"]) == (3.5, "4006381333931", {})


def test_a_change(sample: Callable[[str], bytes]) -> None:
    change = read(sample("850_860.x12"))[2]
    assert (change["type"], change["group"], change["purpose"], change["order"]) == (
        "860",
        "102",
        "change",
        "PO-88123",
    )
    assert change["dates"] == {"document": "2026-11-26", "shipment": "2026-11-28"}
    assert [(line["line"], line["action"], line["action_code"], line["quantity"]) for line in change["lines"]] == [
        ("1", "change", "QI", 15),
        ("2", "remove", "DI", None),
        ("3", "add", "AI", 4),
    ]
    assert change["lines"][0]["quantities"] == {"ordered": 15, "left": 3}
    assert change["lines"][1]["ids"] == {"SK": "SK77"}


def test_a_warehouse_order_with_other_separators(sample: Callable[[str], bytes]) -> None:
    """Line ends as terminators, as some mainframes write."""
    [record] = read(sample("940_other_separators.x12"))
    assert (record["order"], record["customer_order"], record["purpose"]) == ("DEP-5501", "CUST-PO-7", "create")
    assert (record["test"], record["version"]) == (True, "005010")
    assert record["dates"] == {
        "delivery": "2026-12-01",
        "shipment": "2026-11-30T08:30:00",
        "earliest": "2026-11-28",
        "latest": "2026-12-03",
    }
    assert set(record["parties"]) == {"depositor", "deliver_to"}
    assert (record["transport"]["carrier"], record["notes"]) == ("FDXG", ["Call before delivery"])
    first, second = record["lines"]
    assert first["ids"] == {"VN": "AC-100", "UP": "036000291452", "UA": "100360002914529", "SK": "S-1"}
    assert (first["line"], first["quantity"], second["line"], second["quantity"]) == ("1", 24, "2", 6)
    assert second["references"] == {"LI": "2"}
    [package] = record["packages"]
    assert (package["line"], package["sscc"]) == ("1", ["340063810000000117"])


def test_blank_lines_around_segments(sample: Callable[[str], bytes]) -> None:
    assert [record["order"] for record in read(sample("850_spaced.x12"))] == ["PO-88100"]


def test_a_composite_unit() -> None:
    [record] = read(order("BCH*04*SA*O1***20261125", "POC*1*QD*2*1*CA>1>1", kind="860", group="PC"))
    assert (record["lines"][0]["unit"], record["lines"][0]["quantity"]) == ("CA", 2)


@pytest.mark.parametrize(
    ("code", "purpose"),
    [("N", "create"), ("F", "cancel"), ("R", "change"), ("L", "replace"), ("T", "duplicate"), ("C", "other")],
)
def test_order_status_of_a_940(code: str, purpose: str) -> None:
    [record] = read(order(f"W05*{code}*D-1", kind="940", group="OW"))
    assert (record["purpose"], record["function"]) == (purpose, code)


@pytest.mark.parametrize(
    ("segment", "dates"),
    [
        ("DTM*002*261130", {"delivery": "2026-11-30"}),
        ("DTM*002*20261130*143059", {"delivery": "2026-11-30T14:30:59"}),
        ("DTM*002*261130*14305912", {"delivery": "2026-11-30T14:30:59"}),
        ("DTM*2*20261130", {"delivery": "2026-11-30"}),
        ("DTM*999*whatever", {}),
    ],
)
def test_dates(segment: str, dates: Record) -> None:
    assert read(order("BEG*00*SA*O1", segment))[0]["dates"] == dates


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        (("BEG*00*SA*",), "segment 4 BEG: has no order number .BEG03."),
        (("REF*A*B",), "segment 4 REF: BEG is expected here"),
        ((), "segment 4 SE: BEG is expected here"),
        (("BEG*00*SA*O1**20261131",), "segment 4 BEG05: '20261131' is not in the calendar"),
        (("BEG*00*SA*O1", "DTM*002*2026-11-30"), "segment 5 DTM: '2026-11-30' is no date of 8 digits"),
        (("BEG*00*SA*O1", "DTM*002*20261130*1"), "segment 5 DTM: '1' is no time"),
        (("BEG*00*SA*O1", "DTM*002*20261130*2561"), "segment 5 DTM: .* is not in the calendar"),
        (("BEG*00*SA*O1", "PO1*1*x*EA"), "segment 5 PO102: 'x' is no number"),
        (("BEG*00*SA*O1", "PO1*1*1*EA***UP"), "segment 5 PO106: qualifier 'UP' with number ''"),
        (("BEG*00*SA*O1", "PO1*1*1*EA****4711"), "segment 5 PO106: qualifier '' with number '4711'"),
        (("BEG*00*SA*O1", "PO1*1*1*EA", "PO1*1*1*EA"), "segment 6 PO1: line '1' comes twice"),
        (("BEG*00*SA*O1", "PO1*1*1*EA", "CTT*2"), "segment 6 CTT: says 2 lines, there are 1"),
        (("BEG*00*SA*O1", "N1*ST*X", "N1*ST*Y"), "segment 6 N1: party 'deliver_to' comes twice and differs"),
        (("BEG*00*SA*O1", "N1**X"), "segment 5 N1: has no entity code"),
    ],
)
def test_contents_that_can_not_be(segments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read(order(*segments))
    assert caught.value.way_on


GOOD = order("BEG*00*SA*O1")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "message: empty"),
        ("<order/>", "interchange: begins with '<order/>', not with ISA"),
        (GOOD[:80], "segment 1 ISA: 80 characters, ISA alone has 106"),
        (GOOD.replace("A              ", "A"), "segment 1 ISA: character 51 is ' ', not the separator .* after ISA06"),
        (GOOD.replace(">~", "*~", 1), "segment 1 ISA: the separators .* are equal"),
        (GOOD.replace("A              *ZZ", "               *ZZ"), "segment 1 ISA: has no sender"),
        (GOOD.replace("000000001*0*P", "         *0*P"), "segment 1 ISA: has no control number"),
        (GOOD.replace("O1", "O\0"), "byte 164: a NUL byte"),
        (GOOD.replace("O1", "O\udc80").encode("utf-8", "surrogateescape"), "byte 164: 0x80 is not UTF-8"),
        (GOOD.replace("IEA*1*000000001~", ""), "segment 6 GE: the interchange has no IEA"),
        (GOOD[:-1], "segment 7: not ended by '~'"),
        (GOOD + "X", "segment 8: not ended by '~'"),
        (GOOD + "X~", "segment 8 X|segment 8: 'X' is no segment id"),
        (GOOD + GOOD, "segment 7 IEA: outside a functional group"),
        (GOOD.replace("SE*3", "SE*4"), "segment 5 SE: says 4 segments, there are 3"),
        (GOOD.replace("SE*3*0001", "SE*3*0002"), "segment 5 SE: control number '0002', but segment 3 ST has '0001'"),
        (GOOD.replace("SE*3*0001~", ""), "segment 3 ST: has no SE"),
        (GOOD.replace("GE*1*1", "GE*2*1"), "segment 6 GE: says 2 transaction sets, there are 1"),
        (GOOD.replace("GE*1*1", "GE*1*9"), "segment 6 GE: control number '9', but segment 2 GS has '1'"),
        (GOOD.replace("GE*1*1~", ""), "segment 2 GS: has no GE"),
        (GOOD.replace("IEA*1", "IEA*2"), "segment 7 IEA: says 2 groups, there are 1"),
        (GOOD.replace("IEA*1*000000001", "IEA*1*000000002"), "segment 7 IEA: control number '000000002'"),
        (GOOD.replace("GS*PO", "GS*IN"), "segment 3 ST: 850 in a group of 'IN'"),
        (GOOD.replace("ST*850", "ST*810"), "segment 3 ST: transaction set '810' is not read"),
        (GOOD.replace("ST*850*0001", "ST*850"), "segment 3 ST: has no control number"),
        (GOOD.replace("BEG", "B-G"), "segment 4: 'B-G' is no segment id"),
        (GOOD.replace("ST*850", "BEG*00~ST*850"), "segment 3 BEG: outside a transaction set"),
        (GOOD.replace("*1*X*", "**X*"), "segment 2 GS: has no control number"),
        (
            GOOD.replace("GE*1*1", "ST*850*0001~BEG*00*SA*O2~SE*3*0001~GE*2*1"),
            "segment 6 ST: control number 0001 comes twice",
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_envelopes_that_can_not_be(data: bytes | str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read(data)
    assert caught.value.way_on


def test_leading_zeros_of_control_numbers_do_not_matter() -> None:
    assert read(GOOD.replace("IEA*1*000000001", "IEA*1*1"))[0]["order"] == "O1"


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(bytes_max=50), "at most 50"),
        (Limits(segments_max=4), "more than 4 segments"),
        (Limits(fields_max=6), "segment 1 ISA: more than 6 elements"),
        (Limits(text_length_max=14), "segment 1 ISA06: more than 14 characters"),
        (Limits(lines_max=1), "segment 6 PO1: more than 1 lines in one order"),
        (Limits(records_max=0), "segment 8 GE: more than 0 messages"),
    ],
)
def test_limits(limits: Limits, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        READERS["x12"](order("BEG*00*SA*O1", "PO1*1*1*EA", "PO1*2*1*EA").encode(), limits)
