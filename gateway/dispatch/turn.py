"""One turn of the kernel: the state it works on, what is fixed by the site, the time, and the effects it draws."""

from __future__ import annotations

from gateway.contract import AlarmEvent, Effect, Note, Ns
from gateway.dispatch.floor import Floor
from gateway.dispatch.memory import Memory
from gateway.dispatch.state import Alarm, HoldOff, State
from gateway.site import Site

NEVER_NS = 2**63
HOLD_OFF_FIRST_NS = 300_000_000
HOLD_OFF_MAX_NS = 5_000_000_000
HOLD_OFF_ALARM_TRIES = 8
ALARMS_MAX = 2_000
HOLD_OFFS_MAX = 2_000


class Turn:
    """Handed through all phases; lives for one input."""

    def __init__(self, site: Site, floor: Floor, state: State, memory: Memory) -> None:
        self.site = site
        self.floor = floor
        self.state = state
        self.memory = memory
        self.effects: list[Effect] = []

    @property
    def now_ns(self) -> Ns:
        return self.state.now_ns

    def touch(self) -> None:
        """Something has changed that the books' phases look at: they run in this turn if they have not begun yet, and
        in the next one if they have (see `memory`)."""
        self.memory.touched = True
        self.memory.trips = None
        self.memory.order_checked = False

    def note(self, source: str, event: str, detail: str = "") -> None:
        self.effects.append(Note(source, event, detail))

    # --- alarms ---

    def raise_alarm(self, source: str, code: str, text: str) -> None:
        """Say once that a person must act; the same alarm again only counts."""
        key = f"{source}/{code}"
        known = self.state.alarms.get(key)
        if known is not None and known.active:
            known.text = text
            return
        if known is None and len(self.state.alarms) >= ALARMS_MAX:
            # The oldest one that has gone may go; an active alarm is never dropped.
            gone = next((k for k, a in self.state.alarms.items() if not a.active), None)
            if gone is None:
                self.touch()  # said as long as it is so
                self.note(source, "alarm list is full", f"{code}: {text}")
                return
            del self.state.alarms[gone]
        count = known.count + 1 if known else 1
        self.state.alarms[key] = Alarm(key, source, code, text, self.now_ns, count=count)
        self.effects.append(AlarmEvent(key, source, code, text, active=True))

    def clear_alarm(self, source: str, code: str) -> None:
        if not self.state.alarms:
            return
        key = f"{source}/{code}"
        known = self.state.alarms.get(key)
        if known is None or not known.active:
            return
        known.active = False
        self.effects.append(AlarmEvent(key, source, code, known.text, active=False))
        if known.acknowledged:
            del self.state.alarms[key]

    # --- not again at once ---

    def held_off(self, key: str) -> bool:
        known = self.state.hold_offs.get(key)
        return known is not None and known.until_ns > self.now_ns

    def next_over_ns(self) -> Ns:
        """When the next hold-off is over, in the far future where there is none."""
        now_ns = self.now_ns
        return min((h.until_ns for h in self.state.hold_offs.values() if h.until_ns > now_ns), default=NEVER_NS)

    def hold_off(self, key: str, source: str, reason: str) -> None:
        """`key` was refused for `reason`: wait longer each time, and call a person when it keeps on."""
        self.touch()
        known = self.state.hold_offs.get(key)
        tries = known.tries + 1 if known else 1
        wait_ns = min(HOLD_OFF_FIRST_NS * 2 ** min(tries - 1, 10), HOLD_OFF_MAX_NS)
        if len(self.state.hold_offs) >= HOLD_OFFS_MAX:
            # Of loads that have gone meanwhile, most of them; whoever is still refused begins to count anew.
            over = [k for k, h in self.state.hold_offs.items() if h.until_ns <= self.now_ns]
            for old in over or [next(iter(self.state.hold_offs))]:
                del self.state.hold_offs[old]
        self.state.hold_offs[key] = HoldOff(self.now_ns + wait_ns, tries, reason)
        if tries == HOLD_OFF_ALARM_TRIES:
            self.raise_alarm(source, "keeps-refusing", f"{source} has refused {key} {tries} times: {reason}")

    def went_well(self, key: str, source: str) -> None:
        known = self.state.hold_offs.pop(key, None)
        if known is None:
            return
        self.touch()
        if known.tries >= HOLD_OFF_ALARM_TRIES:
            self.clear_alarm(source, "keeps-refusing")
