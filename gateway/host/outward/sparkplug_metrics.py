"""Which metrics node and devices have, with aliases that stay the same as long as the process lives."""

from __future__ import annotations

import math

from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import DeviceId
from gateway.dispatch.state import Device
from gateway.host.gate import Gate
from gateway.host.outward import levels
from gateway.host.outward.sparkplug_payload import Metric, Value, datatype_of
from gateway.site.outward import SparkplugSpec

TELEMETRY = "Telemetry"


class Metrics:
    """What is read from the running gateway for Sparkplug."""

    def __init__(self, spec: SparkplugSpec, gate: Gate, log: Log) -> None:
        self._telemetry_max = spec.telemetry_max
        self._gate = gate
        self._log = log
        self._aliases: dict[tuple[DeviceId, str], int] = {}
        self._shown: dict[DeviceId, set[str]] = {}
        self._told_too_many: set[DeviceId] = set()

    def of_node(self) -> dict[str, Metric]:
        state = self._gate.kernel.state
        return self._named(
            "",
            {
                "Status": self._gate.status,
                "Site": self._gate.kernel.site.site.id,
                "Orders/Open": state.open_orders(),
                "Orders/Finished": state.tally.orders_finished,
                "Orders/Failed": state.tally.orders_failed,
                "Alarms/Active": sum(alarm.active for alarm in state.alarms.values()),
            },
        )

    def of_device(self, device: DeviceId, record: Device) -> dict[str, Metric]:
        of_all = levels.of_device(record)
        reason = record.refusal()
        values: dict[str, Value] = {
            "State": of_all["state"],
            "Mode": of_all["mode"],
            "Held": of_all["held"],
            "Link": of_all["link"],
            "Usable": reason is None,
            "Reason": levels.cut(reason or ""),
        }
        return self._named(device, {**values, **self._live(device)})

    def _live(self, device: DeviceId) -> dict[str, Value]:
        """Live values by name; at most so many of a device, the first ones that it had."""
        shown = self._shown.setdefault(device, set())
        found: dict[str, Value] = {}
        for name, value in self._gate.telemetry.get(device, {}).items():
            if value is None or (isinstance(value, float) and not math.isfinite(value)):
                continue
            if name not in shown and len(shown) >= self._telemetry_max:
                self._too_many(device)
                continue
            shown.add(name)
            found[f"{TELEMETRY}/{name}"] = levels.cut(value) if isinstance(value, str) else value
        return found

    def _too_many(self, device: DeviceId) -> None:
        if self._telemetry_max and device not in self._told_too_many:
            self._told_too_many.add(device)
            self._log.warning(
                "live values left out of sparkplug: raise `telemetry_max`", device=device, shown=self._telemetry_max
            )

    def _named(self, device: DeviceId, values: dict[str, Value]) -> dict[str, Metric]:
        return {
            name: Metric(value, datatype_of(value), name, self._aliases.setdefault((device, name), len(self._aliases)))
            for name, value in values.items()
        }
