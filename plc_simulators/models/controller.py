"""What every PLC has whatever it drives: a boot number, life signs, a mailbox and a PackML unit."""

from __future__ import annotations

from plc_simulators.models.lifesign import LifeSign
from plc_simulators.models.mailbox import Mailbox
from plc_simulators.models.packml import PRODUCE, Unit

SCAN_NS = 10_000_000
"""One PLC cycle, and the step of the plant."""
SCAN_S = SCAN_NS / 1e9


class Controller:
    """One PLC without its program."""

    def __init__(self, boot_id: int) -> None:
        self.boot_id = boot_id % 2**16 or 1
        self.mode = PRODUCE
        self.mailbox = Mailbox()
        self.life = LifeSign()
        self.unit = Unit()

    def restart(self) -> None:
        """Power off and on: a new boot number; only the mailbox's numbers and epoch are retentive."""
        self.boot_id = (self.boot_id + 1) % 2**16 or 1
        self.mailbox.restart()
        self.life = LifeSign()
        self.unit.restart()
