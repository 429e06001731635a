"""What a device's state machine concludes from a report or a notice. Consumed by the dispatcher, in order."""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId, Struct


class StateChanged(Struct, frozen=True):
    device: DeviceId
    part: str
    before: str
    after: str


class Irregular(Struct, frozen=True):
    """Something the table or the interface does not foresee; nothing was changed by it but what the text says."""

    device: DeviceId
    text: str


class Restarted(Struct, frozen=True):
    """The device's own memory began anew (BOOT_ID changed)."""

    device: DeviceId
    boot_id: int


class Faulted(Struct, frozen=True):
    """A fault began; `part` names the zone, lane or vehicle component, `text` what a person should do."""

    device: DeviceId
    part: str
    code: str
    text: str


class FaultCleared(Struct, frozen=True):
    device: DeviceId
    part: str
    code: str


class ZoneTaken(Struct, frozen=True):
    """A load stands in a conveyor zone. `track_id` 0: the PLC does not know which."""

    device: DeviceId
    zone: int
    track_id: int


class ZoneLeft(Struct, frozen=True):
    """The load `track_id` has left a conveyor zone. A load that the PLC could not name leaves without a fact."""

    device: DeviceId
    zone: int
    track_id: int


class Scanned(Struct, frozen=True):
    """An item passed the scan point. No barcode: no-read."""

    device: DeviceId
    track_id: int
    barcodes: tuple[str, ...]
    plc_ms: int


class Diverted(Struct, frozen=True):
    device: DeviceId
    track_id: int
    lane: int
    confirmed: bool


class DivertFailed(Struct, frozen=True):
    """The PLC could not divert to an assigned lane; the item runs on to the reject lane."""

    device: DeviceId
    track_id: int
    reason: str


class TrackLost(Struct, frozen=True):
    device: DeviceId
    track_id: int


class LaneEmptied(Struct, frozen=True):
    """People have taken all loads out of a lane and said so at its button."""

    device: DeviceId
    lane: int


class CellFinished(Struct, frozen=True):
    """The cell has completed its work on the load with `track_id`."""

    device: DeviceId
    track_id: int
    good: bool


class NodeReached(Struct, frozen=True):
    device: DeviceId
    node: NodeId
    sequence_id: int


class ActionEnded(Struct, frozen=True):
    device: DeviceId
    action_id: str
    ok: bool
    result: str


class OrderRejected(Struct, frozen=True):
    """The vehicle refuses a VDA 5050 order or update; `drive_id` is empty where it did not say which."""

    device: DeviceId
    drive_id: str
    error: str


Fact = (
    StateChanged
    | Irregular
    | Restarted
    | Faulted
    | FaultCleared
    | ZoneTaken
    | ZoneLeft
    | Scanned
    | Diverted
    | DivertFailed
    | TrackLost
    | LaneEmptied
    | CellFinished
    | NodeReached
    | ActionEnded
    | OrderRejected
)
