"""What a PLC shows now, and when the kernel hears of it: link state from the heartbeat, reports on change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec

from drivers.handshake import Heartbeat
from drivers.link import Link
from gateway.contract import Ns, Report, Scalar, Sink

RecordT = TypeVar("RecordT")


class Levels(Generic[RecordT]):
    """Turns signal values into `LinkChanged` and `Report`.

    `up` needs a heartbeat that moves and values that decode; a report follows it at once, later ones only
    when the record differs. While a value is bad the last report stands.
    """

    def __init__(
        self,
        link: Link,
        where: str,
        decode: Callable[[Mapping[str, Scalar]], RecordT],
        sink: Sink,
        stale_ms: int,
    ) -> None:
        self._link = link
        self._where = where
        self._decode = decode
        self._sink = sink
        self._heartbeat = Heartbeat(stale_ms)
        self._stale_ms = stale_ms
        self._last: RecordT | None = None
        self._stale_record = True
        self._problem = ""

    def connected(self, now_ns: Ns) -> None:
        """A new connection: wait for a heartbeat, then report in full."""
        self._heartbeat.restart(now_ns)
        self._stale_record = True
        self._problem = ""

    def repeat(self) -> None:
        """Post a full report at the next step, changed or not."""
        self._last, self._stale_record = None, True

    def step(self, values: Mapping[str, Scalar], *, problem: str, changed: bool, now_ns: Ns) -> bool:
        """Take the values as they stand now; True when the link has just come up.

        `problem` says what of them can't be trusted, "" when all can: then the last report stands.
        """
        self._heartbeat.see(values.get("hb_plc"), now_ns)
        self._stale_record = self._stale_record or changed
        if self._heartbeat.overdue(now_ns):
            self._link.change("uncertain", self._silence())
            return False
        if not self._heartbeat.fresh(now_ns):
            return False
        if problem:
            if self._link.state != "up":
                self._link.change("uncertain", f"{self._where}: {problem}")
            return False
        if self._link.state != "up":
            record = self._record(values)
            if record is None:
                self._link.change("uncertain", f"{self._where}: its values can't be understood: {self._problem}")
                return False
            self._link.change("up", f"{self._where}: connected, heartbeat moves")
            self._post(record)
            return True
        if self._stale_record:
            record = self._record(values)
            if record is not None and record != self._last:
                self._post(record)
            self._stale_record = False
        return False

    def _post(self, record: RecordT) -> None:
        self._last, self._stale_record = record, False
        self._sink.post(Report(self._link.device, record))

    def _record(self, values: Mapping[str, Scalar]) -> RecordT | None:
        try:
            record = self._decode(values)
        except (KeyError, TypeError, ValueError, msgspec.ValidationError) as exc:
            problem = f"no signal {exc}" if isinstance(exc, KeyError) else str(exc)
            if problem != self._problem:
                self._problem = problem
                self._sink.bad_value(self._link.device, "report", dict(values), problem)
            return None
        self._problem = ""
        return record

    def _silence(self) -> str:
        value = "has not been read" if self._heartbeat.value is None else f"stands at {self._heartbeat.value}"
        return (
            f"{self._where}: heartbeat hb_plc {value} and has not moved for {self._stale_ms} ms: "
            "is the PLC program running?"
        )
