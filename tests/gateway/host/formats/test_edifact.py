"""EDIFACT: real-shaped interchanges, the envelope's checks, and every refusal with its segment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gateway.host.formats import READERS, Limits, Record, Unreadable
from gateway.host.formats.edifact_segments import read_segments

LIMITS = Limits()
UNB = "UNB+UNOA:3+A:14+B:14+261125:1000+R1'"


def read(data: bytes) -> list[Any]:
    return READERS["edifact"](data, LIMITS)


def order(*segments: str, unb: str = UNB, kind: str = "ORDERS:D:96A:UN") -> bytes:
    """One message around `segments`, counted."""
    body = "".join(f"{segment}'" for segment in segments)
    return f"{unb}UNH+1+{kind}'{body}UNT+{len(segments) + 2}+1'UNZ+1+R1'".encode("latin-1")


def test_orders_with_una_line_ends_and_release_characters(sample: Callable[[str], bytes]) -> None:
    [record] = read(sample("orders.edi"))
    assert record["type"] == "ORDERS"
    assert (record["version"], record["subset"]) == ("D.96A", "EAN008")
    assert (record["sender"], record["receiver"], record["interchange"]) == (
        "4006381000017",
        "4012345000009",
        "IC00001",
    )
    assert (record["order"], record["function"], record["purpose"]) == ("4500012345", "9", "create")
    assert record["dates"] == {
        "document": "2026-11-25T10:30:00",
        "delivery": "2026-11-27",
        "latest": "2026-11-27T14:00:00",
        "earliest": "2026-11-27T06:00:00",
    }
    assert record["notes"] == ["Gate 4, ring twice: ask for O'Neill+Sons"]
    # The party's tax number is no reference of the order.
    assert record["references"] == {"CT": "FR-77"}
    delivery = record["parties"]["deliver_to"]
    assert (delivery["id"], delivery["city"], delivery["country"], delivery["location"]) == (
        "4006381000024",
        "Bremen",
        "DE",
        "DOCK-12",
    )


def test_lines_with_ids_quantities_and_lower_case_qualifiers(sample: Callable[[str], bytes]) -> None:
    [record] = read(sample("orders.edi"))
    first, second = record["lines"]
    assert (first["line"], first["item"], first["quantity"], first["unit"]) == ("10", "4006381333931", 24, "PCE")
    assert first["ids"] == {"EN": "4006381333931", "SA": "A-1001", "IN": "4711"}
    assert first["quantities"] == {"21": 24, "59": 10}
    assert first["dates"] == {"delivery": "2026-11-26"}
    assert first["description"] == "Fineliner black 0.4 mm, box of 10"
    assert (second["quantity"], second["unit"], second["ids"]["SA"]) == (1200.5, "KGM", "A-1002")
    [package] = record["packages"]
    assert (package["line"], package["count"], package["type"]) == ("20", 2, "CT")


def test_two_messages_without_una(sample: Callable[[str], bytes]) -> None:
    create, cancel = read(sample("orders_two_no_una.edi"))
    assert (create["order"], create["purpose"]) == ("B-77", "create")
    assert (cancel["order"], cancel["purpose"], cancel["lines"]) == ("B-76", "cancel", [])
    delivery = create["parties"]["deliver_to"]
    assert (delivery["name"], delivery["street"]) == ("Müller Söhne KG Lager Süd", "Straße des 17. Juni 1")
    assert delivery["country"] == "DE"


def test_a_change_with_other_separators_and_no_release_character(sample: Callable[[str], bytes]) -> None:
    [record] = read(sample("ordchg_other_separators.edi"))
    assert (record["purpose"], record["customer_order"], record["test"]) == ("change", "4500012345", True)
    assert [(line["line"], line["action"], line["quantity"]) for line in record["lines"]] == [
        ("10", "change", 30.5),
        ("20", "remove", None),
        ("30", "add", 6),
    ]


def test_packages_of_a_despatch(sample: Callable[[str], bytes]) -> None:
    [record] = read(sample("desadv.edi"))
    assert [(p["id"], p["parent"], p["type"], p["sscc"], p["lines"]) for p in record["packages"]] == [
        ("1", "", "PE", [], []),
        ("2", "1", "PX", ["340063810000000018"], ["1"]),
        ("3", "1", "CT", ["340063810000000025"], []),
        ("3", "1", "CT", ["340063810000000032", "340063810000000049"], ["2", "3"]),
    ]
    assert [line["quantity"] for line in record["lines"]] == [12, 12, 5]
    assert record["lines"][2]["sscc"] == ["340063810000000056"]
    assert record["dates"] == {"document": "2026-11-25", "despatch": "2026-11-25T16:00:00"}
    assert record["transport"]["carrier"] == "Spedition Nord"
    assert record["customer_order"] == "4500012345"


def test_a_wrapped_instruction_to_despatch(sample: Callable[[str], bytes]) -> None:
    """Lines broken after 80 characters wherever that is, and the end-of-file mark of DOS."""
    [record] = read(sample("insdes_wrapped.edi"))
    assert (record["type"], record["order"], record["customer_order"]) == ("INSDES", "LIEF-31", "PO-99")
    assert record["dates"]["delivery"] == "2026-11-27T08:00:00+01:00"
    assert record["lines"][0]["quantity"] == 48
    assert record["packages"][0]["lines"] == ["1"]


def test_groups() -> None:
    message = "UNH+{0}+ORDERS:D:96A:UN'BGM+220+O{0}+9'UNT+3+{0}'"
    first, second = message.format(1), message.format(2)
    grouped = f"{UNB}UNG+ORDERS+A+B+261125:1000+G1+UN+D:96A'{first}{second}UNE+2+G1'UNZ+1+R1'"
    assert [record["order"] for record in read(grouped.encode())] == ["O1", "O2"]
    for wrong, reason in [
        (grouped.replace("UNE+2", "UNE+1"), "UNE: says 1 messages, there are 2"),
        (grouped.replace("UNE+2+G1", "UNE+2+G2"), "UNE: reference 'G2'"),
        (grouped.replace("UNZ+1", "UNZ+2"), "UNZ: says 2 groups, there are 1"),
        (grouped.replace("UNE+2+G1'", ""), "UNG: has no UNE"),
        (grouped.replace("UNG+", f"{first.replace('+1', '+3')}UNG+"), "groups and messages are mixed|says"),
    ]:
        with pytest.raises(Unreadable, match=reason):
            read(wrong.encode())


def test_level_b_separators() -> None:
    text = order("BGM+220+O?1+9").replace(b"?", b"\0").translate(bytes.maketrans(b":+'\0", b"\x1f\x1d\x1c?"))
    text = text.replace(b"UNOA", b"UNOB")
    assert read(text)[0]["order"] == "O?1"


@pytest.mark.parametrize(
    ("syntax", "encoding", "name"),
    [
        ("UNOC", "iso8859-1", "Åse"),
        ("UNOD", "iso8859-2", "Łódź"),
        ("UNOE", "iso8859-5", "Склад"),
        ("UNOW", "utf-8", "倉庫"),
    ],
)
def test_character_sets(syntax: str, encoding: str, name: str) -> None:
    text = order("BGM+220+O1+9", "NAD+BY+++NAME").decode().replace("UNOA", syntax).replace("NAME", name)
    assert read(text.encode(encoding))[0]["parties"]["buyer"]["name"] == name


@pytest.mark.parametrize(
    ("segment", "dates"),
    [
        ("DTM+2:20261130:102", {"delivery": "2026-11-30"}),
        ("DTM+2:261130:101", {"delivery": "2026-11-30"}),
        ("DTM+2:202611301430:203", {"delivery": "2026-11-30T14:30:00"}),
        ("DTM+2:20261130143059:204", {"delivery": "2026-11-30T14:30:59"}),
        ("DTM+2:202611301430-05:303", {"delivery": "2026-11-30T14:30:00-05:00"}),
        ("DTM+2:202611301430UTC:303", {"delivery": "2026-11-30T14:30:00+00:00"}),
        ("DTM+2:202649:616", {"delivery": "2026-11-30"}),
        ("DTM+2:20261130-20261202:718", {"earliest": "2026-11-30", "latest": "2026-12-02"}),
        ("DTM+9:whatever:999", {}),
    ],
)
def test_dates(segment: str, dates: Record) -> None:
    assert read(order("BGM+220+O1+9", segment))[0]["dates"] == dates


@pytest.mark.parametrize(
    ("segments", "reason"),
    [
        (("BGM+220+O1+9", "DTM+2:20261131:102"), "segment 4 DTM: '20261131' is not in the calendar"),
        (("BGM+220+O1+9", "DTM+2:2026113:102"), "segment 4 DTM: '2026113' is no date of 8 digits"),
        (("BGM+220+O1+9", "DTM+2:20261130:999"), "segment 4 DTM: date format '999' is not read"),
        (("BGM+220+O1+9", "DTM+2:202699:616"), "segment 4 DTM: '202699' is no week"),
        (("BGM+220+O1+9", "DTM+2:202611301430EST:303"), "segment 4 DTM: time zone 'EST' is not read"),
        (("BGM+220+O1+9", "DTM+63:20261130-20261202:718"), "segment 4 DTM: date format '718' is not read"),
        (("BGM+220++9",), "segment 3 BGM: has no document number"),
        (("DTM+2:20261130:102",), "segment 3 DTM: BGM is expected here"),
        ((), "segment 3 UNT: BGM is expected here"),
        (("BGM+220+O1+9", "LIN+1++X:EN", "LIN+1++Y:EN"), "segment 5 LIN: line '1' comes twice"),
        (("BGM+220+O1+9", "LIN+1++X:EN", "QTY+21:1.000,5"), "segment 5 QTY: '1.000,5' is no number"),
        (("BGM+220+O1+9", "LIN+1++X:EN", "QTY+21:"), "segment 5 QTY: '' is no number"),
        (("BGM+220+O1+9", "LIN+1++X:EN", "QTY+21:1", "QTY+21:2"), "segment 6 QTY: quantity '21' comes twice"),
        (("BGM+220+O1+9", "LIN+1++X:EN", "CNT+2:2"), "segment 5 CNT: says 2 lines, there are 1"),
        (("BGM+220+O1+9", "NAD+BY+1", "NAD+BY+2"), "segment 5 NAD: party 'buyer' comes twice and differs"),
        (("BGM+220+O1+9", "NAD++1"), "segment 4 NAD: has no party qualifier"),
        (("BGM+220+O1+9", "PAC+1++CT", "GIN+BJ+1:9"), "segment 5 GIN: a range of SSCCs is not read"),
    ],
)
def test_contents_that_can_not_be(segments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read(order(*segments))
    assert caught.value.way_on


GOOD = order("BGM+220+O1+9").decode()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "message: empty"),
        ("{}", r"interchange: begins with '\{\}', not with UNB"),
        ("UNA:+.? ", "UNA: cut off"),
        ("UNA::.? '" + GOOD, "UNA: .* service characters that are equal"),
        ("UNA:+.?A'" + GOOD, None),
        ("UNAX+.? '" + GOOD, "UNA: .* service characters"),
        (GOOD.replace("UNOA", "UNOZ"), "segment 1 UNB: character set 'UNOZ' is not read"),
        (GOOD.replace("O1", "Ö1"), "byte 66: 0xd6 is not in ascii"),
        (GOOD.replace("O1", "O\0"), "byte 67: a NUL byte"),
        (GOOD.replace("+A:14", "+"), "segment 1 UNB: has no sender"),
        (GOOD.replace("+R1'UNH", "'UNH"), "segment 1 UNB: has no control reference"),
        (GOOD.replace("UNZ+1+R1'", ""), "segment 4 UNT: the interchange has no UNZ"),
        (GOOD.replace("UNT+3+1'", ""), "segment 2 UNH: has no UNT"),
        (GOOD.replace("UNT+3", "UNT+4"), "segment 4 UNT: says 4 segments, there are 3"),
        (GOOD.replace("UNT+3", "UNT+x"), "segment 4 UNT: 'x' is no count"),
        (GOOD.replace("UNT+3+1", "UNT+3+2"), "segment 4 UNT: reference '2', but segment 2 UNH has '1'"),
        (GOOD.replace("UNZ+1", "UNZ+2"), "segment 5 UNZ: says 2 messages, there are 1"),
        (GOOD.replace("UNZ+1+R1", "UNZ+1+R2"), "segment 5 UNZ: reference 'R2', but segment 1 UNB has 'R1'"),
        (GOOD.replace("ORDERS", "INVOIC"), "segment 2 UNH: message type 'INVOIC' is not read"),
        (GOOD.replace("UNH+1+ORDERS:D:96A:UN", "UNH+1"), "segment 2 UNH: has no message type"),
        (GOOD.replace("UNH+1", "UNH+"), "segment 2 UNH: has no message reference"),
        (GOOD.replace("BGM", "B1M"), "segment 3: 'B1M' is no tag"),
        (GOOD.replace("BGM", "'BGM"), "segment 3: .* is no tag"),
        (GOOD.replace("UNT+3+1'", "UNT+3+1'XXX+1'"), "segment 5 XXX: outside a message"),
        (GOOD + GOOD, "segment 5 UNZ: outside a message"),
        (GOOD + "XX", "segment 6: not ended by"),
        (GOOD.replace("BGM", "UNH+2+ORDERS:D:96A:UN'BGM"), "segment 3 UNH: in a message that began in segment 2"),
        (
            GOOD.replace("UNZ+1", "UNH+1+ORDERS:D:96A:UN'BGM+220+O2+9'UNT+3+1'UNZ+2"),
            "segment 5 UNH: message reference '1' comes twice",
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_envelopes_that_can_not_be(data: str, reason: str | None) -> None:
    if reason is None:
        # The fifth character of UNA is reserved: it may be anything.
        assert read(data.encode("latin-1"))[0]["order"] == "O1"
        return
    with pytest.raises(Unreadable, match=reason) as caught:
        read(data.encode("latin-1"))
    assert caught.value.way_on


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(bytes_max=50), "at most 50"),
        (Limits(segments_max=4), "segment 5: more than 4 segments"),
        (Limits(fields_max=6), "UNB: more than 6 elements"),
        (Limits(text_length_max=5), "segment 1 UNB, element 4: more than 5 characters"),
        (Limits(lines_max=1), "segment 5 LIN: more than 1 lines in one order"),
    ],
)
def test_limits(limits: Limits, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        READERS["edifact"](order("BGM+220+O1+9", "LIN+1", "LIN+2"), limits)


def test_as_many_messages_as_the_limit_says() -> None:
    text = order("BGM+220+O1+9").decode()
    two = text.replace("UNZ+1", "UNH+2+ORDERS:D:96A:UN'BGM+220+O2+9'UNT+3+2'UNZ+2").encode()
    assert len(READERS["edifact"](two, Limits(records_max=2))) == 2
    with pytest.raises(Unreadable, match="segment 5 UNH: more than 1 messages"):
        READERS["edifact"](two, Limits(records_max=1))


def test_a_una_in_the_text_is_text() -> None:
    segments = read_segments(order("BGM+220+O1+9", "FTX+AAI+++x?'UNA?:?+.? y"), LIMITS)
    assert segments[3].at(3) == "x'UNA:+. y"
