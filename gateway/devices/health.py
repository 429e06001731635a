"""What every device carries beside its own state: link health and mode, and the reason it may not be used."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.contract import LinkState, Ns

Mode = Literal["automatic", "manual", "maintenance"]


class Health(msgspec.Struct):
    """Link and mode of one device. A driver says `up` only while heartbeat and data are fresh."""

    link: LinkState = "down"
    link_since_ns: Ns = 0
    link_reason: str = "not connected yet"
    reported: bool = False
    """A full report has arrived since the link came up."""
    mode: Mode = "automatic"
    """What the operator has chosen here; the device's own mode comes on top."""
    held: str = ""
    """Why a person holds it for now; "" where nobody does."""

    def link_changed(self, state: LinkState, reason: str, at_ns: Ns) -> None:
        if state == self.link:
            self.link_reason = reason
            return
        if self.link == "down" or state == "down":
            self.reported = False
        self.link, self.link_reason, self.link_since_ns = state, reason, at_ns

    def refusal(self) -> str | None:
        """Why the dispatcher must leave this device alone, None when it need not."""
        if self.link == "down":
            return f"link is down: {self.link_reason}"
        if self.link == "uncertain":
            return f"link is uncertain: {self.link_reason}"
        if not self.reported:
            return "no report since the link came up"
        if self.mode != "automatic":
            return f"switched to {self.mode} by an operator"
        if self.held:
            return f"held by an operator: {self.held}"
        return None
