"""A PLC's answer to the command mailbox, and the result codes of the Stellwerk profile (docs/plc-interface.md)."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.contract import Scalar, Struct

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


def plc_levels(values: Mapping[str, Scalar]) -> dict[str, object]:
    """What every PLC shows, as the fields of its report; KeyError where a signal is missing."""
    echo = {k: values[k] for k in Echo.__struct_fields__}
    return {"echo": echo, **{k: values[k] for k in ("boot_id", "state", "mode")}}


def result_text(code: int) -> str:
    return RESULT_TEXT.get(code, f"unknown result code {code}")
