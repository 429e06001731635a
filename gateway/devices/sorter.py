"""Sorter: one scan point, numbered lanes, a reject lane at the end.

SCAN(track, barcodes) → `Assign`(track, lanes, deadline) → DIVERTED | FAILED(reason) | LOST. The track id is the
PLC's own and names one item on the sorter; an item without an assignment by its deadline goes to the reject lane.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.contract import DeviceId, Scalar, Struct
from gateway.devices.echo import Echo, plc_levels
from gateway.devices.facts import (
    Diverted,
    DivertFailed,
    Fact,
    Irregular,
    LaneEmptied,
    Restarted,
    Scanned,
    StateChanged,
    TrackLost,
)
from gateway.devices.health import Health
from gateway.devices.machine import Row, Table
from gateway.devices.packml import PRODUCE, follow, not_running

ALTERNATES_MAX = 3
RING_BEHIND_MAX = 2**31
TRACKS_MAX = 256
"""Items on one sorter at once; the oldest track is purged beyond that (a real sorter holds far fewer)."""

# --- records on the wire ---


class Lane(Struct, frozen=True):
    enabled: bool = True
    half_full: bool = False
    full: bool = False
    count: int = 0


class SorterReport(Struct, frozen=True, tag="sorter"):
    boot_id: int
    echo: Echo
    state: int
    mode: int
    lanes: tuple[Lane, ...]


EventKind = Literal["scan", "diverted", "failed", "lost", "lane_emptied"]
EVENT_BY_CODE: dict[int, EventKind] = {1: "scan", 2: "diverted", 3: "failed", 4: "lost", 5: "lane_emptied"}
FAIL_REASON = {
    1: "lane full", 2: "lane disabled", 3: "rate limit", 4: "late", 5: "gap too small", 6: "track lost",
    7: "not confirmed",
}  # fmt: skip


class SorterEvent(Struct, frozen=True, tag="sorter_event"):
    """One entry of the PLC's event ring. `plc_ms` is the PLC's clock; `result` a FAIL_REASON where it failed."""

    kind: EventKind
    track_id: int
    point: int = 0
    lane: int = 0
    result: int = 0
    plc_ms: int = 0
    barcodes: tuple[str, ...] = ()


class Assign(Struct, frozen=True, tag="assign"):
    """Divert `track_id` to the first of `lanes` (1 to 4) that can take it, while PLC time is ≤ `deadline_plc_ms`."""

    track_id: int
    lanes: tuple[int, ...]
    deadline_plc_ms: int


SorterAction = Assign
CODE_ASSIGN = 10


def decode(values: Mapping[str, Scalar], lanes: int) -> SorterReport:
    """Build the record from signal values; KeyError or ValidationError where a signal is missing or bad."""
    return msgspec.convert(
        {
            "type": "sorter",
            **plc_levels(values),
            "lanes": [
                {name: values[f"lane.{n}.{name}"] for name in Lane.__struct_fields__} for n in range(1, lanes + 1)
            ],
        },
        SorterReport,
    )


def decode_event(values: Mapping[str, Scalar]) -> SorterEvent:
    """Build the notice from one ring entry's fields (type, track_id, point, lane, result, plc_ms, barcodes).

    `barcodes` is one string, codes parted by ';', empty for a no-read. ValidationError or KeyError when bad.
    """
    fields = {k: values[k] for k in ("track_id", "point", "lane", "result", "plc_ms")}
    codes = str(values["barcodes"] or "").split(";")
    code = values["type"]
    kind = EVENT_BY_CODE.get(code, f"event type {code}") if isinstance(code, int) else f"event type {code!r}"
    barcodes = [code.strip() for code in codes if code.strip()]
    return msgspec.convert({"type": "sorter_event", "kind": kind, "barcodes": barcodes, **fields}, SorterEvent)


def encode(action: SorterAction) -> dict[str, Scalar]:
    """The mailbox payload of an assignment, signal by signal, without its sequence number."""
    lanes = [*action.lanes, 0, 0, 0, 0][: ALTERNATES_MAX + 1]
    return {
        "cmd_code": CODE_ASSIGN,
        "cmd_track_id": action.track_id,
        **{f"cmd_lane_{n}": lane for n, lane in enumerate(lanes, 1)},
        "cmd_deadline_ms": action.deadline_plc_ms,
    }


# --- the lane's and the track's state machines ---

LANE_STATES = ("open", "half_full", "full", "disabled")
LANE_ROWS: tuple[Row, ...] = (
    ("half_fill", "open", "half_full"),
    ("fill", "half_full", "full"),
    ("fill", "open", "full"),
    ("drain", "full", "half_full"),
    ("empty", "half_full", "open"),
    ("empty", "full", "open"),
    *(("disable", s, "disabled") for s in ("open", "half_full", "full")),
    ("enable", "disabled", "open"),
    ("enable_half_full", "disabled", "half_full"),
    ("enable_full", "disabled", "full"),
)
LANE = Table("sorter lane", LANE_STATES, LANE_ROWS, "open")

TRACK_STATES = ("scanned", "assigned", "diverted", "failed", "lost")
TRACK_ROWS: tuple[Row, ...] = (
    ("assign", "scanned", "assigned"),
    ("divert", "scanned", "diverted"),
    ("divert", "assigned", "diverted"),
    ("fail", "scanned", "failed"),
    ("fail", "assigned", "failed"),
    ("divert", "failed", "diverted"),
    ("lose", "scanned", "lost"),
    ("lose", "assigned", "lost"),
    ("lose", "failed", "lost"),
)
TRACK = Table("sorter track", TRACK_STATES, TRACK_ROWS, "scanned")


class LaneState(msgspec.Struct):
    state: str = "open"
    count: int = 0


class Track(msgspec.Struct):
    """One item between scan point and lane."""

    track_id: int
    barcodes: tuple[str, ...]
    state: str = "scanned"
    load: str = ""
    lanes: tuple[int, ...] = ()
    why_reject: str = ""
    withdrawn: bool = False
    """A person has told since that the load is elsewhere."""


class Sorter(msgspec.Struct):
    """The gateway's picture of one sorter."""

    device: DeviceId
    lanes: list[LaneState]
    reject_lane: int
    health: Health = msgspec.field(default_factory=Health)
    state: str = "Stopped"
    packml_mode: int = PRODUCE
    boot_id: int | None = None
    echo: Echo = Echo()
    tracks: dict[int, Track] = msgspec.field(default_factory=dict)
    ring_index: int = 0
    """The PLC's running number of the newest event known; it begins anew with its memory."""

    def refusal(self) -> str | None:
        return not_running(self)

    def lane_refusal(self, lane: int) -> str | None:
        if not 1 <= lane <= len(self.lanes):
            return f"lane {lane} does not exist (1 to {len(self.lanes)})"
        state = self.lanes[lane - 1].state
        return f"lane {lane} is {state}" if state in ("full", "disabled") else None


def new(device: DeviceId, lanes: int, reject_lane: int) -> Sorter:
    return Sorter(device=device, lanes=[LaneState() for _ in range(lanes)], reject_lane=reject_lane)


def observe(sorter: Sorter, report: SorterReport) -> list[Fact]:
    """Bring the picture up to `report` and say what happened meanwhile."""
    facts: list[Fact] = []
    if sorter.boot_id not in (None, report.boot_id):
        facts.append(Restarted(sorter.device, report.boot_id))
        sorter.ring_index = 0
        # A restarted PLC has forgotten its tracks: whatever was on the belt ends in the reject lane. The dispatcher
        # still needs the tracks to find their loads; it forgets them itself.
        facts.extend(TrackLost(sorter.device, n) for n, t in sorted(sorter.tracks.items()) if TRACK.fire(t, "lose"))
    sorter.boot_id, sorter.echo, sorter.packml_mode = report.boot_id, report.echo, report.mode
    facts.extend(follow(sorter, report.state))
    if len(report.lanes) != len(sorter.lanes):
        facts.append(Irregular(sorter.device, f"report has {len(report.lanes)} lanes, configured {len(sorter.lanes)}"))
        # Lanes that can't be told apart are no picture to act on.
        sorter.health.reported = False
        return facts
    for number, (lane, known) in enumerate(zip(report.lanes, sorter.lanes, strict=True), 1):
        was = known.state
        LANE.adopt(known, _lane_state(lane))
        known.count = lane.count
        if was != known.state:
            facts.append(StateChanged(sorter.device, f"lane {number}", was, known.state))
    sorter.health.reported = True
    return facts


def _lane_state(lane: Lane) -> str:
    if not lane.enabled:
        return "disabled"
    if lane.full:
        return "full"
    return "half_full" if lane.half_full else "open"


def is_repeat(sorter: Sorter, ring_index: int | None) -> bool:
    """An event that is known already: after a crash the ring is read again from where it was last consumed.

    Remembers `ring_index` (u32, rolls over) where it is new.
    """
    if ring_index is None:
        return False
    if (sorter.ring_index - ring_index) % 2**32 < RING_BEHIND_MAX and sorter.ring_index:
        return True
    sorter.ring_index = ring_index
    return False


def notice(sorter: Sorter, event: SorterEvent) -> list[Fact]:
    """Follow one item by one event of the ring."""
    if event.kind == "lane_emptied":
        if not 1 <= event.lane <= len(sorter.lanes):
            return [_no_such_lane(sorter, event)]
        return [LaneEmptied(sorter.device, event.lane)]
    if event.kind == "scan":
        return _scan(sorter, event)
    track = sorter.tracks.get(event.track_id)
    if track is None:
        return [Irregular(sorter.device, f"{event.kind} for track {event.track_id}, which was never scanned")]
    astray = event.kind == "diverted" and not 1 <= event.lane <= len(sorter.lanes)
    trigger = "lose" if astray else {"diverted": "divert", "failed": "fail", "lost": "lose"}[event.kind]
    if not TRACK.fire(track, trigger):
        return [Irregular(sorter.device, f"{event.kind} for track {event.track_id}, which is {track.state}")]
    if event.kind == "failed":
        reason = FAIL_REASON.get(event.result, f"reason code {event.result}")
        return [DivertFailed(sorter.device, event.track_id, reason)]
    if astray:
        # It has left the belt, and nobody knows where to: as good as lost.
        return [_no_such_lane(sorter, event), TrackLost(sorter.device, event.track_id)]
    # The dispatcher still needs the track's load while it books it; it forgets the track itself.
    if event.kind == "lost":
        return [TrackLost(sorter.device, event.track_id)]
    return [Diverted(sorter.device, event.track_id, event.lane, confirmed=event.result == 0)]


def _no_such_lane(sorter: Sorter, event: SorterEvent) -> Irregular:
    text = f"{event.kind} at lane {event.lane} for track {event.track_id}, but its lanes are 1 to {len(sorter.lanes)}"
    return Irregular(sorter.device, text)


def _scan(sorter: Sorter, event: SorterEvent) -> list[Fact]:
    facts: list[Fact] = []
    # The PLC may use a number again once its item has left the belt, and does so after a restart.
    known = sorter.tracks.get(event.track_id)
    if known is not None and not _has_left(known):
        return [Irregular(sorter.device, f"track {event.track_id} was scanned twice")]
    sorter.tracks.pop(event.track_id, None)
    if len(sorter.tracks) >= TRACKS_MAX:
        for track in [t for t in sorter.tracks.values() if _has_left(t)]:
            del sorter.tracks[track.track_id]
    if len(sorter.tracks) >= TRACKS_MAX:
        oldest = next(iter(sorter.tracks.values()))
        TRACK.fire(oldest, "lose")
        facts.append(TrackLost(sorter.device, oldest.track_id))
    sorter.tracks[event.track_id] = Track(event.track_id, event.barcodes)
    facts.append(Scanned(sorter.device, event.track_id, event.barcodes, event.plc_ms))
    return facts


def _has_left(track: Track) -> bool:
    """Whether its item is off the belt: only the dispatcher's books may still name it."""
    return track.state in ("diverted", "lost")
