"""One vehicle behind the broker: its link state, and what of its messages the kernel hears."""

from __future__ import annotations

import time

from drivers.link import Link
from drivers.meter import Meter
from drivers.vda5050 import decode
from drivers.vda5050.encode import Sender
from drivers.vda5050.limits import Limits
from drivers.vda5050.version import ForeignVersionError, Version
from gateway.contract import DeviceId, Notice, NotWritten, Ns, Report, Sink
from gateway.devices.agv import AgvFactsheet, AgvReport, Drive, Instant
from gateway.site import AgvSpec, Profile

SILENT_MS = 5_000
"""The retained connection message comes right after subscribing; without it for so long, there is none."""
_REASON = {
    "HIBERNATING": "vehicle hibernates: wake it up, or wait for it",
    "OFFLINE": "vehicle has signed off: switch it on, or wait for it",
    "CONNECTIONBROKEN": "vehicle has lost its radio link to the broker: look where it stands",
}


class Vehicle:
    """Up only while the vehicle says ONLINE and its states flow; each `up` is followed by a full report."""

    def __init__(self, spec: AgvSpec, profile: Profile, sink: Sink) -> None:
        connection = spec.connection
        try:
            self._version = Version.of(profile.vda_version)
        except ValueError as problem:
            raise ValueError(f"{spec.id}: profile {profile.profile}: {problem}") from problem
        self.device: DeviceId = spec.id
        self.meter = Meter(spec.id, "vda5050", time.monotonic_ns)
        self.topic = f"{connection.interface}/v{self._version.major}/{connection.manufacturer}/{connection.serial}"
        self.link = Link(spec.id, sink)
        self.sender = Sender(self._version, connection.manufacturer, connection.serial)
        self._serial = connection.serial
        self._sink = sink
        self._stale_ms = profile.handshake.stale_ms
        self._online = False
        self._heard = False
        """A connection message has come on this connection to the broker, or its absence has been told."""
        self._since_ns: Ns = 0
        self._state_ns: Ns | None = None
        self._last: AgvReport | None = None
        self._factsheet: AgvFactsheet | None = None
        self._limits = Limits()
        self._is_foreign = False
        """The last state or connection message bore another major version: its reason stands, whatever else is due."""

    def broker_up(self, now_ns: Ns) -> None:
        """Subscribed: what the vehicle said on an earlier connection is no evidence."""
        self._online = self._heard = self._is_foreign = False
        self._since_ns, self._state_ns = now_ns, None

    def broker_down(self, reason: str) -> None:
        self._online = False
        self.link.change("down", f"{self.device}: {reason}")

    def take(self, kind: str, payload: bytes, *, retained: bool, now_ns: Ns) -> bool:
        """Act on one message; True when the vehicle has just come online and is to be asked for everything.

        Raises msgspec.DecodeError for what can't be read; nothing has changed then.
        """
        if retained and kind in ("state", "visualization"):
            # A retained state or position is of unknown age: it may describe yesterday.
            return False
        try:
            return self._take(kind, payload, now_ns)
        except ForeignVersionError as foreign:
            if kind not in ("connection", "state"):
                raise
            self._refuse(kind, str(foreign).partition(" - at ")[0])
            return False

    def compose(self, action: Drive | Instant, timestamp: str) -> tuple[str, bytes]:
        """Topic and payload of a command. Raises NotWritten(certain=True) for what the factsheet rules out."""
        if isinstance(action, Drive):
            kind, payload = "order", self.sender.order(action, timestamp)
        else:
            kind, payload = "instantActions", self.sender.instant_actions(action, timestamp)
        problem = self._limits.problem(action, payload, self._version)
        if problem is not None:
            raise NotWritten(f"{self.device}: {problem}; nothing was written", certain=True)
        return f"{self.topic}/{kind}", payload

    def _take(self, kind: str, payload: bytes, now_ns: Ns) -> bool:
        if kind == "connection":
            return self._connection(decode.connection(payload, self._serial, self._version))
        if kind == "factsheet":
            self._take_factsheet(*decode.factsheet(payload, self._serial, self._version))
        elif kind == "state":
            self._state(payload, now_ns)
        elif kind == "visualization" and (values := decode.visualization(payload, self._version)):
            self._sink.telemetry(self.device, values)
        return False

    def age(self, now_ns: Ns) -> None:
        """Doubt a vehicle whose states have stopped; say of a silent one that it is silent."""
        if self._is_foreign:
            return
        since_ns = self._since_ns if self._state_ns is None else self._state_ns
        silent_ms = (now_ns - since_ns) // 1_000_000
        if self._online and silent_ms >= self._stale_ms:
            seconds = self._stale_ms / 1000
            self.link.change("uncertain", f"{self.device}: online, but no state for {seconds:g} s")
        elif not self._heard and silent_ms >= SILENT_MS:
            self._heard = True
            reason = f"{self.device}: no connection message on {self.topic}/connection: is the vehicle on?"
            if not self.link.change("down", reason):
                self.link.explain(reason)

    def _connection(self, state: decode.ConnectionState) -> bool:
        came = state == "ONLINE" and not self._online
        self._online, self._heard = state == "ONLINE", True
        self._is_foreign = False
        if not self._online:
            self._state_ns = None
            self.link.change("down", f"{self.device}: {_REASON[state]}")
        return came

    def _state(self, payload: bytes, now_ns: Ns) -> None:
        report, values = decode.state(payload, self._serial, self._version)
        self._state_ns = now_ns
        self._is_foreign = False
        if values:
            self._sink.telemetry(self.device, values)
        if not self._online:
            return
        came_up = self.link.change("up", f"{self.device}: online, states flow")
        if came_up or report != self._last:
            self._last = report
            self._sink.post(Report(self.device, report))

    def _refuse(self, kind: str, reason: str) -> None:
        """A vehicle of another version is not up: what it would be sent, it would misread."""
        self._is_foreign = self._heard = True
        if kind == "connection":
            self._online = False
        reason = f"{self.device}: {reason}"
        if not self.link.change("down", reason):
            self.link.explain(reason)

    def _take_factsheet(self, factsheet: AgvFactsheet, limits: Limits) -> None:
        self._limits = limits
        if factsheet != self._factsheet:
            self._factsheet = factsheet
            self._sink.post(Notice(self.device, factsheet))
