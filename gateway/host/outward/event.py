"""An event as it is kept and told: what the kernel said, put into JSON once, for all targets alike."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from gateway.contract import AlarmEvent, Effect, Ns, OrderEvent, StepEvent
from gateway.site import OutwardSpec
from gateway.site.outward import MQTT, EventKind, UnifiedSpec, WebhookSpec

GAP = "outbox.gap"
_encode = msgspec.json.Encoder().encode


class Told(msgspec.Struct, frozen=True):
    """What others read. `id` is the event's own for ever: who has seen it before has seen this."""

    id: str
    type: str
    timestamp: str
    site: str
    data: object


class Event(msgspec.Struct, frozen=True):
    """One event on its way to the disk. `subject`: events of one subject are told in order."""

    seq: int
    number: int
    at_ns: Ns
    kind: EventKind
    type: str
    subject: str
    client: str
    body: bytes


class Row(msgspec.Struct, frozen=True):
    """One event that waits for one target. `gap` > 0: not an event, but the news that so many were dropped, up to and
    with this one."""

    place: int
    gap: int
    era: int
    seq: int
    number: int
    at_ns: Ns
    type: str
    subject: str
    body: bytes

    @property
    def key(self) -> tuple[int, int]:
        return self.place, self.gap

    def id(self, site: str) -> str:
        """The event's own, the same at each attempt; news of a gap has one of its own."""
        own = event_id(site, self.era, self.seq, self.number)
        return f"{own}_gap{self.gap}" if self.gap else own

    def told(self, site: str) -> bytes:
        """What the target is sent."""
        if not self.gap:
            return self.body
        data = {"dropped": self.gap, "until": utc(self.at_ns)}
        return _encode(Told(self.id(site), GAP, utc(self.at_ns), site, data))


class Bounds(msgspec.Struct, frozen=True):
    """Which events a target wants, and how many and how old they may become while it does not take them."""

    target: str
    events: tuple[EventKind, ...]
    client: str
    waiting_max: int
    keep_ns: Ns
    dead_letters_max: int

    def wants(self, event: Event) -> bool:
        if event.kind not in self.events:
            return False
        return event.kind == "alarm" or not self.client or event.client == self.client


def bounds_of(spec: OutwardSpec) -> list[Bounds]:
    """One a target that keeps events waiting. Sparkplug shows levels and keeps none."""
    found = [_bounds(hook.id, hook, hook.dead_letters_max) for hook in spec.webhooks]
    if spec.mqtt is not None:
        found.append(_bounds(MQTT, spec.mqtt, 1))
    return found


def _bounds(target: str, spec: WebhookSpec | UnifiedSpec, dead_letters_max: int) -> Bounds:
    keep_ns = spec.waiting_hours_max * 3_600_000_000_000
    return Bounds(target, spec.events, spec.client, spec.waiting_max, keep_ns, dead_letters_max)


def event_of(site: str, era: int, seq: int, number: int, at_ns: Ns, effect: Effect) -> Event | None:
    """The event in `effect`, None where there is none."""
    kind: EventKind
    match effect:
        case OrderEvent():
            kind, word, subject, client = "order", f"order.{effect.state}", f"order/{effect.order}", effect.client
        case StepEvent():
            kind, word, subject, client = "step", f"step.{effect.state}", f"order/{effect.order}", effect.client
        case AlarmEvent():
            word = "alarm.raised" if effect.active else "alarm.cleared"
            kind, subject, client = "alarm", f"alarm/{effect.alarm}", ""
        case _:
            return None
    data = {name: value for name, value in msgspec.to_builtins(effect).items() if name != "type"}
    told = Told(event_id(site, era, seq, number), word, utc(at_ns), site, data)
    return Event(seq, number, at_ns, kind, word, subject, client, _encode(told))


def event_id(site: str, era: int, seq: int, number: int) -> str:
    """No full stop in it: the signature's text is parted by them (Standard Webhooks 1.0, Signature scheme)."""
    return f"{site.replace('.', '~')}_{era}_{seq}_{number}"


def utc(at_ns: Ns) -> str:
    """A time as ISO 8601 in UTC with milliseconds."""
    try:
        moment = datetime.fromtimestamp(at_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at_ns} ns"  # beyond the calendar; only a broken clock says so
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ns // 1_000_000 % 1000:03}Z"
