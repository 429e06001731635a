"""What people say to alarms (ISA-18.2): seen, not now."""

from __future__ import annotations

from gateway.contract import AcknowledgeAlarm, ShelveAlarm
from gateway.dispatch.requests.refusal import Refusal, invalid, unknown
from gateway.dispatch.turn import Turn

SHELVED_NS_MAX = 24 * 3600 * 1_000_000_000
"""An alarm that nobody wants to see for longer than a day is a matter for the site's configuration."""


def acknowledge(turn: Turn, request: AcknowledgeAlarm) -> Refusal | None:
    alarm = turn.state.alarms.get(request.alarm)
    if alarm is None:
        return unknown("alarm", request.alarm, list(turn.state.alarms))
    alarm.acknowledged = True
    if alarm.code.startswith("help "):
        # Whoever has seen it goes there: nothing else will end it.
        turn.clear_alarm(alarm.source, alarm.code)
    elif not alarm.active:
        del turn.state.alarms[request.alarm]
    return None


def shelve(turn: Turn, request: ShelveAlarm) -> Refusal | None:
    alarm = turn.state.alarms.get(request.alarm)
    if alarm is None:
        return unknown("alarm", request.alarm, list(turn.state.alarms))
    if request.until_ns > turn.now_ns + SHELVED_NS_MAX:
        return invalid(f"an alarm is shelved for {SHELVED_NS_MAX // 3_600_000_000_000} h at the most")
    shelved = request.until_ns > turn.now_ns
    alarm.shelved_until_ns, alarm.shelved_why = (request.until_ns, request.reason) if shelved else (0, "")
    return None
