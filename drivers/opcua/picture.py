"""What a PLC's watched signals show now: their last good values, which of them are bad, and what has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from drivers.meter import Meter
from drivers.opcua.values import checked
from drivers.signals import LIFE_SIGNS, BadValueError, Bound
from gateway.contract import Ns, Scalar, Sink

HEARTBEAT = "hb_plc"


class Picture:
    """One device's levels. `values` holds the last good value of every signal; a bad one is told once it comes."""

    def __init__(self, watched: Sequence[Bound], sink: Sink, meter: Meter, now_ns: Callable[[], Ns]) -> None:
        self.values: dict[str, Scalar] = {}
        self.has_changed = False
        """Something but a sign of life has; the owner clears it."""
        self.beat_ns: Ns = 0
        """When the server last said something about the PLC's heartbeat, and how often since `begin`."""
        self.beats = 0
        self._names = {signal.name for signal in watched}
        self._missing = set(self._names)
        self._bad: set[str] = set()
        self._sink = sink
        self._meter = meter
        self._now_ns = now_ns

    def begin(self) -> None:
        """A new connection: nothing is known."""
        self.values.clear()
        self._bad.clear()
        self._missing = set(self._names)
        self.beats, self.beat_ns = 0, self._now_ns()

    def take(self, signal: Bound, raw: Any, status: int) -> None:
        """Note what the server says of one signal: the node's value and its status code."""
        name = signal.name
        try:
            value = checked(signal, raw, status)
        except BadValueError as bad:
            self.refuse(bad)
            return
        if name == HEARTBEAT:
            self.beats, self.beat_ns = self.beats + 1, self._now_ns()
        values = self.values
        # The usual case first: a good signal shows something else.
        if name in values and name not in self._bad:
            if values[name] != value:
                values[name] = value
                self.has_changed = self.has_changed or name not in LIFE_SIGNS
            return
        self._bad.discard(name)
        self._missing.discard(name)
        values[name] = value
        self.has_changed = self.has_changed or name not in LIFE_SIGNS

    def refuse(self, bad: BadValueError) -> None:
        """Note and tell that a signal can't be had; its last good value stays."""
        if bad.signal in self._names:
            self._bad.add(bad.signal)
        self._meter.bad_values += 1
        self._sink.bad_value(self._meter.device, bad.signal, bad.value, bad.problem)

    def is_bad(self, name: str) -> bool:
        return name in self._bad

    def problem(self) -> str:
        """Why the values can't be trusted as a whole; empty where they can."""
        if not self._bad and not self._missing:
            return ""
        bad = sorted(self._bad or self._missing)
        return f"{len(bad)} signals can't be read, {bad[0]} for one: check the profile against the PLC"
