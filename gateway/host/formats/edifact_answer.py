"""The CONTRL that answers an EDIFACT interchange: taken, taken but for some messages, or refused whole.

Source: ISO 9735 syntax 3, CONTRL (UN D.3, EANCOM 1997): code lists 0083 (action) and 0085 (error). It says that an
interchange could be read, not what became of the order: that is an order response's task.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway.host.formats.edifact import Header, Interchange, header_of
from gateway.host.formats.edifact_segments import CHARSETS, Service, first_segment
from gateway.host.formats.record import Cause, Limits, Unreadable

TAKEN, REFUSED = "7", "4"
ERRORS: Mapping[Cause, str] = {
    "": "18",
    "character": "21",
    "count": "29",
    "duplicate": "26",
    "missing": "13",
    "reference": "28",
    "syntax": "18",
    "unsupported": "14",
    "value": "12",
}
"""0085. 18 is "unspecified error": the standard has no code for a cut-off interchange."""
REFERENCE_LENGTH_MAX = 14


def accept(interchange: Interchange, reference: str, at: datetime, refused: Mapping[str, Cause] | None = None) -> bytes:
    """Taken (0083 = 7), but for the messages that `refused` names by their reference.

    `reference`: this answer's own, 1 to 14 characters, never used before towards this partner. `at`: its time.
    """
    causes = dict(refused or {})
    errors: list[list[str | list[str]]] = []
    for message in interchange.messages:
        if message.reference in causes:
            name = [message.type, message.version, message.release, message.agency, message.association]
            code = ERRORS[causes.pop(message.reference)]
            errors.append(["UCM", message.reference, name, REFUSED, code])
    if causes:
        raise ValueError(f"no message {', '.join(map(repr, causes))} in interchange {interchange.header.reference!r}")
    return _answer(interchange.header, reference, at, [TAKEN], errors)


def reject(data: bytes, limits: Limits, problem: Unreadable, reference: str, at: datetime) -> bytes | None:
    """Refused whole (0083 = 4) for `problem`. None where UNB can't be read: nobody is known to answer to."""
    try:
        header = header_of(first_segment(data, limits))
    except Unreadable:
        return None
    return _answer(header, reference, at, [REFUSED, ERRORS[problem.cause]], [])


def _answer(
    header: Header, reference: str, at: datetime, verdict: list[str], errors: list[list[str | list[str]]]
) -> bytes:
    if not 0 < len(reference) <= REFERENCE_LENGTH_MAX:
        raise ValueError(f"control reference {reference!r}: 1 to {REFERENCE_LENGTH_MAX} characters")
    sender = [header.sender.id, header.sender.qualifier]
    receiver = [header.receiver.id, header.receiver.qualifier]
    version = header.syntax_version or "3"
    day = f"{at:%Y%m%d}" if version == "4" else f"{at:%y%m%d}"
    uci: list[str | list[str]] = ["UCI", header.reference, sender, receiver, *verdict]
    body: list[list[str | list[str]]] = [["UNH", "1", ["CONTRL", "D", "3", "UN"]], uci, *errors]
    test: list[str | list[str]] = ["", "", "", "", "", "1"] if header.test else []
    segments: list[list[str | list[str]]] = [
        ["UNB", [header.syntax, version], receiver, sender, [day, f"{at:%H%M}"], reference, *test],
        *body,
        ["UNT", str(len(body) + 1), "1"],
        ["UNZ", "1", reference],
    ]
    return "".join(map(_segment, segments)).encode(CHARSETS[header.syntax], "replace")


def _segment(elements: list[str | list[str]]) -> str:
    """With the standard's own service characters, so that no UNA is needed."""
    written = (
        ":".join(map(_escaped, element)).rstrip(":") if isinstance(element, list) else _escaped(element)
        for element in elements
    )
    return "+".join(written) + "'"


def _escaped(text: str) -> str:
    service = Service()
    marks = (service.release, service.component, service.element, service.terminator)
    return "".join(f"?{character}" if character in marks else character for character in text)
