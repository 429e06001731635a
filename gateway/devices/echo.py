"""A PLC's answer to the command mailbox, and the result codes of the Stellwerk profile (docs/plc-interface.md)."""

from __future__ import annotations

from gateway.contract import Struct

RESULT_TEXT = {
    0: "none", 1: "ok", 2: "refused: not possible now", 3: "refused: invalid command", 4: "refused: older epoch",
    5: "failed", 6: "refused: the load is not there",
}  # fmt: skip
RESULT_OK = 1


class Echo(Struct, frozen=True):
    """The mailbox as the PLC sees it: the last sequence number accepted, the last one done, and its result."""

    ack_seq: int = 0
    done_seq: int = 0
    result: int = 0
    epoch: int = 0


def result_text(code: int) -> str:
    return RESULT_TEXT.get(code, f"unknown result code {code}")
