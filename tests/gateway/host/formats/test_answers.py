"""CONTRL and 997: what they say, and that our own readers find them whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from gateway.host.formats import Limits, Unreadable, edifact_answer, x12_answer
from gateway.host.formats.edifact import read_interchange as read_edifact
from gateway.host.formats.x12 import read_interchange as read_x12

LIMITS = Limits()
AT = datetime(2026, 11, 25, 10, 32, tzinfo=UTC)


def refusal_of(read: Callable[[bytes, Limits], object], data: bytes) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        read(data, LIMITS)
    return caught.value


def test_an_interchange_that_was_taken(sample: Callable[[str], bytes]) -> None:
    answer = edifact_answer.accept(read_edifact(sample("orders.edi"), LIMITS), "A1", AT)
    assert answer == (
        b"UNB+UNOA:3+4012345000009:14+4006381000017:14+261125:1032+A1'"
        b"UNH+1+CONTRL:D:3:UN'UCI+IC00001+4006381000017:14+4012345000009:14+7'UNT+3+1'UNZ+1+A1'"
    )
    interchange = read_edifact(answer, LIMITS)
    assert [message.type for message in interchange.messages] == ["CONTRL"]


def test_one_message_of_two_refused(sample: Callable[[str], bytes]) -> None:
    interchange = read_edifact(sample("orders_two_no_una.edi"), LIMITS)
    answer = edifact_answer.accept(interchange, "A2", AT, {"ME000002": "value"})
    [message] = read_edifact(answer, LIMITS).messages
    uci, ucm = message.segments[1:-1]
    assert (uci.at(0), uci.at(3)) == ("88", "7")
    assert (ucm.at(0), ucm.at(1), ucm.at(2), ucm.at(3)) == ("ME000002", "ORDERS", "4", "12")
    with pytest.raises(ValueError, match="no message 'ME9'"):
        edifact_answer.accept(interchange, "A2", AT, {"ME9": "value"})


def test_a_refused_interchange(sample: Callable[[str], bytes]) -> None:
    wrong = sample("orders.edi").replace(b"UNZ+1+IC00001", b"UNZ+2+IC00001")
    answer = edifact_answer.reject(wrong, LIMITS, refusal_of(read_edifact, wrong), "A3", AT)
    assert answer is not None
    uci = read_edifact(answer, LIMITS).messages[0].segments[1]
    assert (uci.at(0), uci.at(3), uci.at(4)) == ("IC00001", "4", "29")


def test_test_indicator_and_other_separators_are_answered_in_ours(sample: Callable[[str], bytes]) -> None:
    interchange = read_edifact(sample("ordchg_other_separators.edi"), LIMITS)
    answer = read_edifact(edifact_answer.accept(interchange, "A4", AT), LIMITS)
    assert answer.header.test
    assert (answer.header.sender, answer.header.receiver) == (interchange.header.receiver, interchange.header.sender)


def test_names_with_service_characters_are_escaped() -> None:
    data = b"UNB+UNOC:3+a?+b?'\xfc+B+261125:1000+R?:1'UNZ+0+R?:1'"
    answer = edifact_answer.accept(read_edifact(data, LIMITS), "A5", AT)
    assert read_edifact(answer, LIMITS).header.receiver.id == "a+b'ü"


def test_every_cut_interchange_gets_an_answer_or_none(sample: Callable[[str], bytes]) -> None:
    """An answer as soon as UNB is whole, and always one that can be read."""
    data = sample("orders.edi").rstrip()
    unb_ends = data.index(b"IC00001++ORDERS++1'") + len(b"IC00001++ORDERS++1'")
    for length in range(0, len(data), 7):
        part = data[:length]
        answer = edifact_answer.reject(part, LIMITS, refusal_of(read_edifact, part), "A6", AT)
        assert (answer is None) == (length < unb_ends), length
        assert answer is None or read_edifact(answer, LIMITS).messages[0].segments[1].at(3) == "4"


@pytest.mark.parametrize("reference", ["", "x" * 15])
def test_references_have_a_length(reference: str, sample: Callable[[str], bytes]) -> None:
    with pytest.raises(ValueError, match="1 to 14"):
        edifact_answer.accept(read_edifact(sample("orders.edi"), LIMITS), reference, AT)


def said(answer: bytes) -> list[tuple[str, ...]]:
    """The 997's own segments."""
    interchange = read_x12(answer, LIMITS)
    return [
        (segment.tag, *segment.elements)
        for _, transactions in interchange.groups
        for transaction in transactions
        for segment in transaction.segments[1:-1]
    ]


def test_x12_taken(sample: Callable[[str], bytes]) -> None:
    interchange = read_x12(sample("850_860.x12"), LIMITS)
    answer = x12_answer.accept(interchange, 12, AT)
    assert said(answer) == [
        ("AK1", "PO", "101"),
        ("AK2", "850", "0001"),
        ("AK5", "A"),
        ("AK2", "850", "0002"),
        ("AK5", "A"),
        ("AK9", "A", "2", "2", "2"),
        ("AK1", "PC", "102"),
        ("AK2", "860", "0001"),
        ("AK5", "A"),
        ("AK9", "A", "1", "1", "1"),
    ]
    header = read_x12(answer, LIMITS).header
    assert (header.sender, header.sender_qualifier, header.receiver, header.control) == (
        "NORTHDC",
        "08",
        "ACMERETAIL",
        "000000012",
    )


def test_x12_taken_in_part_and_not(sample: Callable[[str], bytes]) -> None:
    interchange = read_x12(sample("850_860.x12"), LIMITS)
    answer = x12_answer.accept(interchange, 13, AT, {("101", "0002"): "value", ("102", "0001"): "unsupported"})
    verdicts = [segment for segment in said(answer) if segment[0] in ("AK5", "AK9")]
    assert verdicts == [
        ("AK5", "A"),
        ("AK5", "R", "5"),
        ("AK9", "P", "2", "2", "1"),
        ("AK5", "R", "1"),
        ("AK9", "R", "1", "1", "0"),
    ]
    with pytest.raises(ValueError, match="no set"):
        x12_answer.accept(interchange, 13, AT, {("101", "9"): "value"})
    with pytest.raises(ValueError, match="1 to 999999999"):
        x12_answer.accept(interchange, 0, AT)


def test_x12_refused(sample: Callable[[str], bytes]) -> None:
    wrong = sample("940_other_separators.x12").replace(b"GE|1|7", b"GE|2|7")
    answer = x12_answer.reject(wrong, LIMITS, refusal_of(read_x12, wrong), 14, AT)
    assert answer is not None
    assert said(answer) == [("AK1", "OW", "7"), ("AK9", "R", "1", "1", "0", "5")]
    assert read_x12(answer, LIMITS).header.separators.repetition == "^"


def test_x12_every_cut_interchange_gets_an_answer_or_none(sample: Callable[[str], bytes]) -> None:
    data = sample("850_860.x12").rstrip()
    gs_ends = data.index(b"004010~") + 7
    for length in range(0, len(data), 7):
        part = data[:length]
        answer = x12_answer.reject(part, LIMITS, refusal_of(read_x12, part), 15, AT)
        assert (answer is None) == (length < gs_ends), length
        assert answer is None or said(answer)[-1][:2] == ("AK9", "R")
