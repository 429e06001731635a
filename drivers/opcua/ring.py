"""The event ring over OPC UA: reads the entries that the PLC has written and hands them on in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from asyncua import ua

from drivers.handshake import RingCursor
from drivers.meter import Meter
from drivers.opcua.values import scalar
from drivers.signals import BadValueError, Bound
from gateway.contract import DeviceId, Notice, Scalar, ShellAlarm, Sink

FIELDS_EVENT = ("seq", "type", "track_id", "point", "lane", "result", "plc_ms", "barcodes")
TORN_READS_MAX = 5
"""How often an entry may show an older number than announced before it is given up as lost."""
WAITS_MAX = 25
"""How many looks a new boot number may be ahead of its event counter before the ring counts as begun anew."""
Read = Callable[[Sequence[Bound]], Awaitable[list[ua.DataValue]]]


class RingReader:
    """Posts one `Notice` an entry, in the ring's order, each once per run of the PLC.

    What was overwritten or can't be read is told with a `ShellAlarm` that clears with the next clean reading.
    """

    def __init__(
        self,
        device: DeviceId,
        group: str,
        signals: Mapping[str, Bound],
        decode_event: Callable[[Mapping[str, Scalar]], Any],
        sink: Sink,
        meter: Meter,
    ) -> None:
        entries = sum(1 for name in signals if name.startswith(f"{group}.") and name.endswith(".seq"))
        if not entries:
            raise ValueError(f"{device}: handshake.ring names group {group!r}, which has no signal seq")
        self.cursor = RingCursor(entries)
        self._device = device
        self._entry = {n: [signals[f"{group}.{n}.{field}"] for field in FIELDS_EVENT] for n in range(1, entries + 1)}
        self._decode_event = decode_event
        self._sink = sink
        self._meter = meter
        self._boot_id: Scalar = None
        self._alarmed = False
        self._torn = 0
        self._waits = 0

    def connected(self, evt_rd: int, evt_wr: int, boot_id: Scalar) -> None:
        """A connection has begun, all values read at once: go on after the last entry unless the PLC restarted."""
        if self._boot_id not in (None, boot_id):
            self.cursor.restart()
        self._boot_id, self._waits = boot_id, 0
        self.cursor.start(evt_rd, evt_wr)

    def settled(self, boot_id: Scalar, evt_wr: int) -> bool:
        """Begin the ring anew where the PLC has; False while that can't be told yet.

        A new boot number may be seen before the counter that starts at 0 with it: draining then would hand on
        the old entries a second time.
        """
        if self.cursor.behind(evt_wr):
            self.cursor.restart()
        if boot_id != self._boot_id and self.cursor.last != 0:
            self._waits += 1
            if self._waits < WAITS_MAX:
                return False
            self.cursor.restart()
        self._boot_id, self._waits = boot_id, 0
        return True

    async def drain(self, read: Read, evt_wr: int) -> bool:
        """Hand on all entries up to `evt_wr`; True when some were lost, so that a full report is due.

        Raises what `read` raises; nothing is lost then.
        """
        pending = self.cursor.pending(evt_wr)
        if not pending.count:
            return False
        lost = pending.lost
        if lost:
            self.cursor.advance((pending.first - 1) % 2**32)
        numbers = pending.numbers()
        fields = [signal for number in numbers for signal in self._entry[self.cursor.slot(number)]]
        answers = await read(fields)
        width = len(FIELDS_EVENT)
        for at, number in enumerate(numbers):
            part = slice(at * width, (at + 1) * width)
            state = self._take(number, fields[part], answers[part])
            if state == "torn":
                self._torn += 1
                if self._torn < TORN_READS_MAX:
                    break
                state = "lost"
            self._torn = 0
            lost += state == "lost"
            self.cursor.advance(number)
        self._tell(lost)
        return lost > 0

    def _take(self, number: int, signals: Sequence[Bound], answers: Sequence[ua.DataValue]) -> str:
        """Post one entry: `posted`, or why not: `lost` (overwritten, bad) or `torn` (not written yet)."""
        try:
            values = {
                field: scalar(signal, answer)
                for field, signal, answer in zip(FIELDS_EVENT, signals, answers, strict=True)
            }
            seq = values.pop("seq")
            if seq != number:
                ahead = isinstance(seq, int) and 0 < (seq - number) % 2**32 < 2**31
                if not ahead and self._torn + 1 < TORN_READS_MAX:
                    return "torn"
                raise BadValueError(signals[0].name, seq, f"event {number} was expected here")
            event = self._decode_event(values)
        except BadValueError as bad:
            self._refuse(bad)
            return "lost"
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as exc:
            self._refuse(BadValueError(signals[0].name.removesuffix(".seq"), number, str(exc)))
            return "lost"
        self._sink.post(Notice(self._device, event, number))
        return "posted"

    def _refuse(self, bad: BadValueError) -> None:
        self._meter.bad_values += 1
        self._sink.bad_value(self._device, bad.signal, bad.value, bad.problem)

    def _tell(self, lost: int) -> None:
        if not lost and not self._alarmed:
            return
        self._alarmed = lost > 0
        text = (
            f"{self._device}: {lost} events of the PLC's ring ({self.cursor.entries} entries) are lost: "
            "check what lies on the sorter against the live view, and why the gateway was away so long"
        )
        self._sink.post(ShellAlarm(self._device, "event_ring_lost", text, self._alarmed))
