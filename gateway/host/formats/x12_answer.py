"""The 997 (functional acknowledgement) that answers an X12 interchange: taken, taken in part, or refused.

Source: X12 004010 transaction set 997: codes 715 (group), 716 (group error), 717 (set), 718 (set error). It says that
an interchange could be read, not what became of the order. A TA1 is not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.host.formats.record import Cause, Limits, Unreadable
from gateway.host.formats.x12 import Group, Header, Interchange, Transaction, group_of, header_of
from gateway.host.formats.x12_segments import first_segments

SET_ERRORS: Mapping[Cause, str] = {
    "": "5",
    "character": "5",
    "count": "4",
    "duplicate": "7",
    "missing": "5",
    "reference": "3",
    "syntax": "5",
    "unsupported": "1",
    "value": "5",
}
"""718. 5 is "one or more segments in error"."""
GROUP_ERRORS: Mapping[Cause, str] = {"count": "5", "reference": "4", "missing": "3", "unsupported": "1"}
"""716. For other causes it has no code, and the element is left out."""
CONTROL_MAX = 999_999_999


def accept(
    interchange: Interchange, control: int, at: datetime, refused: Mapping[tuple[str, str], Cause] | None = None
) -> bytes:
    """Taken, but for the sets that `refused` names by (group control number, set control number).

    `control`: this answer's own, 1 to 999,999,999, never used before towards this partner. `at`: its time.
    """
    causes = dict(refused or {})
    sets = []
    for group, transactions in interchange.groups:
        body: list[list[str]] = [["AK1", group.functional, group.control]]
        taken = 0
        for transaction in transactions:
            cause = causes.pop((group.control, transaction.control), None)
            taken += cause is None
            body.extend(_set(transaction, cause))
        code = "A" if taken == len(transactions) else "P" if taken else "R"
        count = str(len(transactions))
        body.append(["AK9", code, count, count, str(taken)])
        sets.append(body)
    if causes:
        raise ValueError(f"no set {', '.join(map(str, causes))} in interchange {interchange.header.control}")
    if not sets:
        raise ValueError(f"interchange {interchange.header.control} has no group to acknowledge")
    return _answer(interchange.header, interchange.groups[0][0], control, at, sets)


def reject(data: bytes, limits: Limits, problem: Unreadable, control: int, at: datetime) -> bytes | None:
    """Refused whole for `problem`: a 997 for its first group. None where ISA or GS can't be read: a 997 without a
    group can't be written."""
    try:
        (isa, gs), separators, sets = first_segments(data, limits)
        header, group = header_of(isa, separators), group_of(gs)
    except Unreadable:
        return None
    count = str(sets)
    ak9 = ["AK9", "R", count, count, "0"]
    error = GROUP_ERRORS.get(problem.cause)
    body = [["AK1", group.functional, group.control], [*ak9, error] if error else ak9]
    return _answer(header, group, control, at, [body])


def _set(transaction: Transaction, cause: Cause | None) -> list[list[str]]:
    verdict = ["AK5", "A"] if cause is None else ["AK5", "R", SET_ERRORS[cause]]
    return [["AK2", transaction.type, transaction.control], verdict]


def _answer(header: Header, group: Group, control: int, at: datetime, sets: list[list[list[str]]]) -> bytes:
    if not 1 <= control <= CONTROL_MAX:
        raise ValueError(f"control number {control}: 1 to {CONTROL_MAX}")
    marks = header.separators
    blank = " " * 10
    isa = [
        "ISA",
        "00",
        blank,
        "00",
        blank,
        header.receiver_qualifier.ljust(2),
        header.receiver.ljust(15),
        header.sender_qualifier.ljust(2),
        header.sender.ljust(15),
        f"{at:%y%m%d}",
        f"{at:%H%M}",
        marks.repetition or "U",
        header.version,
        f"{control:09d}",
        "0",
        "T" if header.test else "P",
        marks.component,
    ]
    segments = [isa]
    segments.append(["GS", "FA", group.receiver, group.sender, f"{at:%Y%m%d}", f"{at:%H%M}", str(control), "X"])
    segments[-1].append(group.version)
    for number, body in enumerate(sets, 1):
        ident = f"{number:04d}"
        segments.append(["ST", "997", ident])
        segments.extend(body)
        segments.append(["SE", str(len(body) + 2), ident])
    segments.append(["GE", str(len(sets)), str(control)])
    segments.append(["IEA", "1", f"{control:09d}"])
    return "".join(marks.element.join(segment) + marks.terminator for segment in segments).encode()
