"""The ledger: every command on its way, one at a time in a PLC's mailbox, until the plant's echo settles it.

A command is written again only while the same sequence number can't have run twice: a PLC runs a number once, a
vehicle ignores an update it knows. What stays without an answer becomes `unknown` and a person's affair.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.contract import Command, DeviceId, LoadId, Ns
from gateway.devices.agv import Agv, Drive, Instant
from gateway.devices.echo import RESULT_OK, Echo, result_text
from gateway.devices.sorter import Assign
from gateway.dispatch.state import Action, Entry, State
from gateway.dispatch.turn import Turn

MS = 1_000_000
ENTRIES_MAX = 20_000
Settled = Callable[[Turn, Entry, bool, str], None]


def outstanding(turn: Turn, device: DeviceId) -> list[Entry]:
    """The device's open commands, oldest first."""
    return [e for e in turn.state.ledger.values() if e.device == device]


def open_for(turn: Turn, device: DeviceId, kind: type, load: LoadId = "") -> bool:
    return any(isinstance(e.action, kind) and e.load == load for e in outstanding(turn, device))


def open_for_load(turn: Turn, device: DeviceId, load: LoadId) -> bool:
    return any(e.load == load for e in outstanding(turn, device))


def issue(turn: Turn, device: DeviceId, action: Action, load: LoadId = "", timeout_ms: int = 0) -> Entry | None:
    """Put a command into the ledger; it is sent at once when the device's mailbox is free.

    None at the ledger's limit: the caller finds its command not open and tries again in a later turn.
    """
    state = turn.state
    if len(state.ledger) >= ENTRIES_MAX:
        turn.touch()  # tried again in every turn
        turn.raise_alarm("ledger", "full", f"{ENTRIES_MAX} commands are open: the plant does not answer")
        return None
    seq = state.next_seq.get(device, 1)
    state.next_seq[device] = seq + 1
    timeout_ms = timeout_ms or turn.site.policies.done_timeout_ms
    entry = Entry(
        command_id=f"{device}/{seq}",
        device=device,
        seq=seq,
        action=action,
        load=load,
        created_ns=turn.now_ns,
        deadline_ns=turn.now_ns + timeout_ms * MS,
    )
    state.ledger[entry.command_id] = entry
    _changed(turn, entry)
    pump(turn, device)
    return entry


def _changed(turn: Turn, entry: Entry) -> None:
    """Which commands are open is different now; drives are looked at by the traffic phase alone, which always runs."""
    if not isinstance(entry.action, Drive):
        turn.touch()


def pump(turn: Turn, device: DeviceId) -> None:
    """Send what may be sent: the oldest queued command of a mailbox, or all of a vehicle's."""
    one_at_a_time = device not in turn.state.agvs
    for entry in outstanding(turn, device):
        if entry.state == "queued":
            _send(turn, entry)
        if one_at_a_time:
            return


def _send(turn: Turn, entry: Entry) -> None:
    health = turn.state.device(entry.device)
    if health is None or health.health.link != "up":
        return
    if entry.tries:
        turn.state.tally.commands_repeated += 1
    turn.state.tally.commands_sent += 1
    entry.state, entry.sent_ns, entry.tries = "sent", turn.now_ns, entry.tries + 1
    turn.effects.append(
        Command(
            command_id=entry.command_id,
            device=entry.device,
            seq=entry.seq,
            epoch=turn.state.epoch,
            deadline_ns=turn.now_ns + turn.site.policies.ack_timeout_ms * MS,
            action=entry.action,
        )
    )


def _answered(turn: Turn, device: DeviceId) -> None:
    turn.clear_alarm(device, "no-answer")
    turn.clear_alarm(device, "not-written")


def close(turn: Turn, entry: Entry) -> None:
    turn.state.ledger.pop(entry.command_id, None)
    _changed(turn, entry)
    _answered(turn, entry.device)
    pump(turn, entry.device)


def settle(turn: Turn, entry: Entry, ok: bool, text: str, settled: Settled) -> None:
    """The plant has answered: tell whoever issued the command, then let the next one go."""
    turn.state.ledger.pop(entry.command_id, None)
    _changed(turn, entry)
    _answered(turn, entry.device)
    settled(turn, entry, ok, text)
    pump(turn, entry.device)


def echoed(turn: Turn, device: DeviceId, echo: Echo, settled: Settled) -> None:
    """Follow a PLC's mailbox echo. It is a level, so this is right after a reconnect, too."""
    state = turn.state
    # A journal that began anew must not reuse numbers that the PLC has already run.
    state.next_seq[device] = max(state.next_seq.get(device, 1), echo.ack_seq + 1)
    for entry in outstanding(turn, device):
        if entry.state == "queued":
            if entry.seq <= echo.ack_seq:
                _renumber(turn, entry)
            continue
        if entry.seq == echo.done_seq:
            ok = echo.result == RESULT_OK
            settle(turn, entry, ok, result_text(echo.result), settled)
        elif entry.seq < echo.done_seq:
            settle(turn, entry, False, "passed over by a later command", settled)
        elif entry.seq <= echo.ack_seq and entry.state != "accepted":
            entry.state = "accepted"
            _answered(turn, device)


def _renumber(turn: Turn, entry: Entry) -> None:
    """A queued command whose number the PLC has already seen (a journal begun anew) gets a fresh one."""
    state = turn.state
    del state.ledger[entry.command_id]
    entry.seq = state.next_seq[entry.device]
    state.next_seq[entry.device] = entry.seq + 1
    entry.command_id = f"{entry.device}/{entry.seq}"
    state.ledger[entry.command_id] = entry


def restarted(turn: Turn, device: DeviceId, settled: Settled) -> None:
    """The PLC began anew. What it had accepted and not finished has no outcome: levels will show what is so."""
    for entry in outstanding(turn, device):
        if entry.state == "accepted":
            settle(turn, entry, False, "the PLC restarted before it was done", settled)


def agv_reported(turn: Turn, agv: Agv) -> None:
    """A vehicle's state message is the echo of its drives and instant actions."""
    for entry in outstanding(turn, agv.device):
        if entry.state == "queued":
            continue
        action = entry.action
        seen = isinstance(action, Instant) and action.action_id in agv.actions
        if isinstance(action, Drive):
            seen = agv.drive_id == action.drive_id and agv.update_id >= action.update_id
        if seen:
            close(turn, entry)


def link_changed(turn: Turn, device: DeviceId) -> None:
    """After a reconnect the commands without an answer are written again, same number, same content."""
    for entry in outstanding(turn, device):
        if entry.state == "sent":
            entry.state = "queued"
    pump(turn, device)


def send_failed(turn: Turn, command_id: str, certain: bool) -> None:
    entry = turn.state.ledger.get(command_id)
    if entry is None or entry.state != "sent":
        return
    if certain:
        entry.state = "queued"
        entry.sent_ns = turn.now_ns


def overdue(turn: Turn) -> None:
    """Write again what got no answer in time; after the last try it is a person's affair."""
    policies = turn.site.policies
    ack_ns = policies.ack_timeout_ms * MS
    for entry in list(turn.state.ledger.values()):
        link_up = _link_up(turn, entry.device)
        if isinstance(entry.action, Assign) and turn.now_ns >= entry.deadline_ns:
            # The PLC has sent the item to reject long since; a person could decide nothing, and scans wait behind it.
            turn.note(entry.device, "assignment without an answer", f"track {entry.action.track_id} ({entry.load})")
            close(turn, entry)
            continue
        if entry.state == "queued" and link_up and turn.now_ns >= entry.sent_ns + ack_ns:
            if entry.tries >= policies.send_tries_max:
                text = (
                    f"{entry.device}: command {entry.command_id} could not be written in {entry.tries} tries though "
                    "the link is up. It is tried on; see the log for the reason, and the profile's writable addresses"
                )
                turn.raise_alarm(entry.device, "not-written", text)
            pump(turn, entry.device)
        if entry.state == "sent" and link_up and turn.now_ns >= entry.sent_ns + ack_ns:
            if entry.tries < policies.send_tries_max:
                entry.state = "queued"
                _send(turn, entry)
            else:
                _unknown(turn, entry, f"no answer to {entry.tries} tries")
        elif entry.state == "accepted" and turn.now_ns >= entry.deadline_ns:
            _unknown(turn, entry, f"accepted, but not done after {(turn.now_ns - entry.created_ns) // MS} ms")


def _unknown(turn: Turn, entry: Entry, why: str) -> None:
    entry.state = "unknown"
    what = f"{type(entry.action).__name__} for {entry.load or 'no load'}"
    text = (
        f"{entry.device}: command {entry.command_id} ({what}): {why}. "
        "Look at the machine, then resolve the command as done or not done"
    )
    turn.raise_alarm(entry.device, "no-answer", text)


def _link_up(turn: Turn, device: DeviceId) -> bool:
    known = turn.state.device(device)
    return known is not None and known.health.link == "up"


def next_due_ns(state: State, ack_timeout_ms: int) -> Ns | None:
    """When `overdue` has something to do next. What was sent over a link that is not up waits for the link."""
    due = []
    for entry in state.ledger.values():
        if entry.state == "accepted":
            due.append(entry.deadline_ns)
        elif entry.state == "sent":
            device = state.device(entry.device)
            if device is not None and device.health.link == "up":
                due.append(entry.sent_ns + ack_timeout_ms * MS)
    return min(due, default=None)
