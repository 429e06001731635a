"""The acknowledgement that an EDI partner expects: a CONTRL for EDIFACT, a 997 for X12.

It says that an interchange could be read, or why not; what became of its orders stands in the reply.
"""

from __future__ import annotations

from datetime import UTC, datetime

from gateway.host.formats import Limits, Unreadable, edifact, edifact_answer, x12, x12_answer
from gateway.site.channels import Format


class Acknowledging:
    """`number` is the answer's own, 1 to 999,999,999, never used before by this channel; `at_ns` its time (UTC)."""

    def __init__(self, format_name: Format, limits: Limits) -> None:
        self._is_edifact = format_name == "edifact"
        self._limits = limits

    def taken(self, data: bytes, number: int, at_ns: int) -> bytes | None:
        """None where there is nothing in it to acknowledge. Raises Unreadable."""
        at = _moment(at_ns)
        if self._is_edifact:
            return edifact_answer.accept(edifact.read_interchange(data, self._limits), str(number), at)
        interchange = x12.read_interchange(data, self._limits)
        return x12_answer.accept(interchange, number, at) if interchange.groups else None

    def refused(self, data: bytes, problem: Unreadable, number: int, at_ns: int) -> bytes | None:
        """None where the partner can't be made out: there is nobody to answer to."""
        at = _moment(at_ns)
        if self._is_edifact:
            return edifact_answer.reject(data, self._limits, problem, str(number), at)
        return x12_answer.reject(data, self._limits, problem, number, at)


def _moment(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // 10**9, UTC)
