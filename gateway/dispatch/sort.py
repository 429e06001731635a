"""Sorting: every scan is answered at once from the preloaded plan; what can't be answered surely goes to reject.

A no-read, an unknown code, codes of several loads, a load without an order, no plan and full lanes are told
apart, counted by reason and put right: a person clarifies what could not be read, then it is sorted again.
"""

from __future__ import annotations

from gateway.contract import DeviceId, LoadId
from gateway.devices.conveyor import Discharge
from gateway.devices.facts import Diverted, DivertFailed, LaneEmptied, Scanned, TrackLost
from gateway.devices.sorter import ALTERNATES_MAX, TRACK, Assign, Sorter, Track
from gateway.dispatch import flow, ledger, loads, orders
from gateway.dispatch.floor import Run
from gateway.dispatch.state import Load, Task
from gateway.dispatch.turn import Turn

DECISION_SHARE = 0.9
"""Decision deadline = distance(scan → first divert) / speed × 0.9."""
ASSIGN_TIMEOUT_MS = 5_000
EMPTY_NS = 10_000_000_000
"""A lane's level may be so much older than the event that a load went in."""


def scanned(turn: Turn, fact: Scanned) -> None:
    """Answer a scan with lanes."""
    sorter = turn.state.sorters[fact.device]
    track = sorter.tracks[fact.track_id]
    turn.state.tally.scans += 1
    load, why = _identify(turn, sorter, track)
    lanes: tuple[int, ...] = ()
    if load is not None:
        track.load = load.load
        _put_names_right(turn, fact.device, load)
        expected = (turn.floor.sorters[fact.device].infeed, *(run.run for run in _feeding(turn, fact.device)))
        if load.location not in expected:
            turn.note(fact.device, "load found", f"{load.load} was booked at {load.location or 'nowhere'}")
        loads.book(turn, load, fact.device)
        if not why:
            lanes, why = _lanes(turn, sorter, load)
    if not lanes:
        lanes = (sorter.reject_lane,)
    track.lanes, track.why_reject = lanes, why
    spec = turn.floor.sorters[fact.device]
    window_ms = int(spec.scan_to_first_divert_mm / spec.speed_mm_s * 1000 * DECISION_SHARE)
    TRACK.fire(track, "assign")
    assign = Assign(fact.track_id, lanes, (fact.plc_ms + window_ms) % 2**32)
    ledger.issue(turn, fact.device, assign, track.load, timeout_ms=ASSIGN_TIMEOUT_MS)
    task = turn.state.tasks.get(load.task) if load else None
    if task is not None:
        task.reason = f"on {fact.device}, to the reject lane: {why}" if why else f"on {fact.device}, to lane {lanes[0]}"


def _put_names_right(turn: Turn, sorter: DeviceId, scanned_: Load) -> None:
    """Another load was handed over than the one that comes by: they were taken for one another on the way here, so the
    other one is where this one was believed to be. Otherwise every load behind it would bear the name of the next."""
    handed_over = loads.at(turn.state, turn.floor.sorters[sorter].infeed)
    runs = _feeding(turn, sorter)
    on_the_way = scanned_.location in {place for run in runs for place in (run.run, run.source)}
    if on_the_way and len(handed_over) == 1:
        turn.note(sorter, "names exchanged", f"{scanned_.load} came by, {handed_over[0].load} was expected")
        loads.exchange(turn, scanned_, handed_over[0])


def _feeding(turn: Turn, sorter: DeviceId) -> list[Run]:
    infeed = turn.floor.sorters[sorter].infeed
    return [run for run in turn.floor.runs if run.dest == infeed]


def _identify(turn: Turn, sorter: Sorter, track: Track) -> tuple[Load | None, str]:
    """The load on a track and, where it may not be sorted by it, why."""
    found = loads.by_barcodes(turn.state, track.barcodes)
    if len(found) == 1:
        return found[0], ""
    if len(found) > 1:
        why = f"ambiguous: codes of {', '.join(ld.load for ld in found)}"
    else:
        why = f"unknown barcode {track.barcodes[0]}" if track.barcodes else "no-read"
    # Which load it is follows from what was handed over; enough to book it, never enough to ship it.
    handed_over = _handed_over(turn, sorter.device)
    if len(handed_over) == 1:
        handed_over[0].unsure = why
        return handed_over[0], why
    return None, why


def _handed_over(turn: Turn, sorter: DeviceId) -> list[Load]:
    """Loads given to the sorter and not scanned yet: booked at its infeed, or being discharged towards it."""
    found = loads.at(turn.state, turn.floor.sorters[sorter].infeed)
    for run in _feeding(turn, sorter):
        for entry in ledger.outstanding(turn, run.device):
            load = turn.state.loads.get(entry.load)
            if isinstance(entry.action, Discharge) and load is not None and load.location == run.run:
                found.append(load)
    return found


def _lanes(turn: Turn, sorter: Sorter, load: Load) -> tuple[tuple[int, ...], str]:
    """The lanes for a load, best first, or why there is none."""
    task = turn.state.tasks.get(load.task)
    if task is None or orders.is_ended(task):
        return (), "no order"
    if task.kind == "sort":
        plan = turn.site.sort_plan
        dest = plan.destinations.get(task.to) if plan else None
        if dest is None:
            return (), f"no plan for {task.to}"
        wanted = dest.lanes
    else:
        route = turn.floor.route(turn.floor.sorters[sorter.device].infeed, _target(task))
        if not route or route[0].kind != "sorter":
            return (), f"no route to {_target(task)}"
        wanted = (int(route[0].part),)
    usable = tuple(n for n in wanted if sorter.lane_refusal(n) is None)[: ALTERNATES_MAX + 1]
    if usable:
        return usable, ""
    return (), "; ".join(filter(None, (sorter.lane_refusal(n) for n in wanted)))


def _target(task: Task) -> str:
    return task.target or task.to


def diverted(turn: Turn, fact: Diverted) -> None:
    """An item has left the sorter: book it, end its step, or put right what went wrong."""
    sorter = turn.state.sorters[fact.device]
    track = sorter.tracks.pop(fact.track_id)
    tally = turn.state.tally
    tally.sorts += 1
    tally.sorts_by_lane[f"{fact.device}/{fact.lane}"] = tally.sorts_by_lane.get(f"{fact.device}/{fact.lane}", 0) + 1
    rejected = fact.lane == sorter.reject_lane
    if rejected:
        why = track.why_reject or "late: no assignment in time"
        kind = why.partition(":")[0].partition(" barcode")[0]
        tally.rejects += 1
        tally.reject_reasons[kind] = tally.reject_reasons.get(kind, 0) + 1
        turn.note(fact.device, "rejected", f"track {fact.track_id} ({track.load or 'unknown load'}): {why}")
    location = turn.floor.lane_location.get((fact.device, fact.lane))
    load = turn.state.loads.get(track.load)
    if load is not None and track.withdrawn:
        text = (
            f"{fact.device} says that {load.load} went to lane {fact.lane}, a person has told that it is at "
            f"{load.location or 'no known place'}. Look where it is and announce it there"
        )
        turn.raise_alarm(fact.device, f"two places {load.load}", text)
        return
    if location is None or load is None:
        why = track.why_reject or "never announced"
        text = f"{fact.device} lane {fact.lane}: an unknown load ({why}) lies there: look at it"
        turn.raise_alarm(fact.device, f"unknown load in lane {fact.lane}", text)
        return
    flow.put_down(turn, load, location)
    task = turn.state.tasks.get(load.task)
    if task is None:
        return
    if rejected:
        _put_right(turn, task, load, track.why_reject or "late: no assignment in time")
    elif fact.lane not in track.lanes:
        turn.note(fact.device, "diverted elsewhere", f"{load.load}: assigned {track.lanes}, went to {fact.lane}")
        _wrong_lane(turn, task, load, fact)
    elif task.kind == "sort":
        orders.finish(turn, task)


def _wrong_lane(turn: Turn, task: Task, load: Load, fact: Diverted) -> None:
    text = f"{fact.device}: {load.load} went to lane {fact.lane}, which was not assigned: take it out of there"
    turn.raise_alarm(fact.device, f"mis-sort {load.load}", text)
    if task.kind == "sort":
        orders.fail(turn, task, f"mis-sorted into lane {fact.lane}")


def _put_right(turn: Turn, task: Task, load: Load, why: str) -> None:
    """A rejected load: clarified by a person where its identity is in doubt, then sorted again, so many times."""
    task.tries += 1
    if task.tries >= turn.site.policies.sort_tries_max:
        orders.fail(turn, task, f"rejected {task.tries} times by the sorter, last: {why}")
        return
    if not load.unsure:
        orders.set_back(turn, task, f"rejected: {why}; to be sorted again")
        return
    skill = turn.site.policies.clarify_skill
    clarify = Task(
        task=f"{task.task}/clarify{task.tries}",
        order=task.order,
        kind="work",
        load=load.load,
        to=load.location,
        skill=skill,
        reason=f"rejected: {why}",
    )
    orders.insert_before(turn, task, clarify)
    task.reason = f"rejected: {why}; waits for a person with skill {skill} at {load.location}"


def divert_failed(turn: Turn, fact: DivertFailed) -> None:
    turn.state.sorters[fact.device].tracks[fact.track_id].why_reject = fact.reason
    turn.note(fact.device, "divert failed", f"track {fact.track_id}: {fact.reason}")


def withdraw(turn: Turn, load: LoadId) -> None:
    """A person has told where the load is: what its sorter still reports may be older than that."""
    for sorter in turn.state.sorters.values():
        for track in sorter.tracks.values():
            if track.load == load:
                track.withdrawn = True


def track_lost(turn: Turn, fact: TrackLost) -> None:
    """An item vanished between scan and lane: a person has to find it."""
    track = turn.state.sorters[fact.device].tracks.pop(fact.track_id, None)
    load = turn.state.loads.get(track.load) if track else None
    if load is None or (track is not None and track.withdrawn):
        return
    loads.book(turn, load, "")
    turn.state.tally.loads_lost += 1
    text = f"{fact.device} lost {load.load} between scan and lane: find it and announce it where it is"
    turn.raise_alarm(fact.device, f"lost {load.load}", text)
    task = turn.state.tasks.get(load.task)
    if task is not None:
        orders.fail(turn, task, f"lost on {fact.device}")


def lane_emptied(turn: Turn, fact: LaneEmptied) -> None:
    """People took everything out of a lane: those loads have left the site."""
    location = turn.floor.lane_location.get((fact.device, fact.lane))
    for load in loads.at(turn.state, location) if location else ():
        if not load.task:
            turn.state.tally.loads_shipped += 1
            loads.forget(turn, load)
    turn.clear_alarm(fact.device, f"unknown load in lane {fact.lane}")


def drive(turn: Turn) -> None:
    """Lanes that are empty although loads are booked in them: the word that somebody has emptied them was lost, in a
    restart of the PLC or an outage that its event ring did not cover. The lane's level says it as well."""
    for device, sorter in turn.state.sorters.items():
        for number, lane in enumerate(sorter.lanes, 1):
            key = f"{device} lane {number} emptied"
            if lane.count or sorter.health.refusal() is not None or not _shipping_from(turn, sorter, number):
                turn.state.hold_offs.pop(key, None)
                continue
            known = turn.state.hold_offs.get(key)
            if known is None:
                turn.hold_off(key, device, f"lane {number} shows no load")
                turn.state.hold_offs[key].until_ns = turn.now_ns + EMPTY_NS
            elif known.until_ns <= turn.now_ns:
                del turn.state.hold_offs[key]
                turn.note(device, "lane found empty", f"lane {number}, and nobody has told")
                lane_emptied(turn, LaneEmptied(device, number))


def _shipping_from(turn: Turn, sorter: Sorter, lane: int) -> bool:
    """Loads are booked in that lane which have only to leave the site."""
    location = turn.floor.lane_location.get((sorter.device, lane))
    if location is None or lane == sorter.reject_lane or turn.floor.locations[location].kind != "lane":
        return False
    return any(not load.task for load in loads.at(turn.state, location))
