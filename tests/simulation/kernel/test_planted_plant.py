"""What the goods rely on: the rules about commands, places, lanes and books find what harms them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from planted import CALM, caught

from gateway.devices.sorter import Sorter, Track
from gateway.dispatch import loads, orders, sort
from gateway.dispatch.state import Load, Order, State, Trip
from gateway.dispatch.traffic import drives
from gateway.dispatch.traffic.roadmap import Roadmap
from gateway.dispatch.turn import Turn
from gateway.simulation.run import Options, Run
from gateway.simulation.timeline import MS, SECOND
from plc_simulators.models.deck import Deck
from plc_simulators.models.mailbox import Mailbox
from plc_simulators.models.vda_order import Action

BUSY = Options(hours=0.05, order_mean_s=6)
CANCELS = Options(hours=0.05, kinds=("late_cancel",), fault_mean_s=5)
FEW_ORDERS = Options(hours=0.05, order_mean_s=60)


# --- once ---


def test_once_a_mailbox_that_forgets_which_numbers_have_run() -> None:
    """The gateway writes again what got no answer; this PLC then does it again."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Mailbox, "_remember", lambda _self, _seq, _result: None)

    assert "commands a second time" in caught("once", plant, scene=_answers_late).text


def _answers_late(run: Run) -> None:
    """Now and then no PLC is heard for nearly so long that its link would count as uncertain."""

    def deaf(on: int) -> None:
        for plc in run.plant.controllers():
            run.server.trouble[plc].mute_up = on

    def now_and_then() -> None:
        deaf(1)
        run.timeline.after(2_800 * MS, partial(deaf, 0))

    run.timeline.every(4 * SECOND, now_and_then)


def test_once_action_ids_that_are_made_of_the_load_alone() -> None:
    """A load that is carried twice in its life gets the same action id twice."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Trip, "pick_id", property(lambda trip: f"{trip.load}.pick"))

    assert "actions a second time" in caught("once", plant).text


# --- places ---


def test_places_a_roadmap_on_which_nothing_excludes_anything() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(Roadmap, "_claims_of_nodes", lambda self, _clearance_mm: {node: set() for node in self.nodes})

    assert "1200 mm must be kept" in caught("places", plant).text


def test_places_a_load_that_stays_booked_where_it_was() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        book = loads.book

        def sticky(turn: Turn, load: Load, location: str) -> None:
            was = load.location
            book(turn, load, location)
            if was in turn.floor.run_by_source:
                turn.state.standing.setdefault(was, {})[load.load] = 1

        patch.setattr(loads, "book", sticky)

    assert "2 loads are booked at C1-IN, which holds 1" in caught("places", plant).text


def test_places_a_vehicle_that_keeps_what_it_has_put_down() -> None:
    """A mistake in the plant model itself: every other rule would be checked against a plant that can't be."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        drop = Deck.drop

        def doubling(self: Deck, action: Action, node: str, waited_ns: int) -> str | None:
            load = self.load
            problem = drop(self, action, node, waited_ns)
            self.load = self.load if problem else load
            return problem

        patch.setattr(Deck, "drop", doubling)

    assert "in two places of the plant" in caught("places", plant).text


# --- lanes ---


def test_lanes_a_sort_that_trusts_whom_it_takes_a_no_read_for() -> None:
    """Enough to book it, never enough to ship it: what lies there may be something else."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        identify = sort._identify

        def trusting(turn: Turn, sorter: Sorter, track: Track) -> tuple[Load | None, str]:
            return identify(turn, sorter, track)[0], ""

        patch.setattr(sort, "_identify", trusting)

    found = caught("lanes", plant, BUSY, scene=_names_exchanged)
    assert "came out of S1 in lane" in found.text


def _names_exchanged(run: Run) -> None:
    """Two totes change places on the conveyor, and the scanner reads nothing while they come by."""
    exchanged: list[str] = []

    def look() -> None:
        under_way = [zone for zone in run.plant.conveyors["C1"].zones[1:-1] if zone.load]
        if len(under_way) == 2 and not exchanged:
            one, other = under_way
            one.load, other.load = other.load, one.load
            exchanged.append(one.load)
            run.plant.fault("no_read", "S1")
            run.timeline.after(40 * SECOND, lambda: run.plant.fault("no_read", "S1", on=False) and None)

    run.timeline.every(SECOND, look)


def test_lanes_a_sort_that_ships_by_the_first_of_two_barcodes() -> None:
    """An old label is still on the tote: two loads' codes are read, and the first one found is taken."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        by_barcodes = loads.by_barcodes

        def first_one(state: State, barcodes: tuple[str, ...]) -> list[Load]:
            return by_barcodes(state, barcodes)[:1]

        patch.setattr(loads, "by_barcodes", first_one)

    assert "came out of S1 in lane" in caught("lanes", plant, scene=_old_labels).text


def _old_labels(run: Run) -> None:
    """Every other tote still carries the label of the one before it."""
    put, last = run.plant.put, [""]

    def labelled(load: str, barcodes: Sequence[str], location: str) -> None:
        put(load, (last[0], *barcodes) if last[0] else barcodes, location)
        last[0] = "" if last[0] else barcodes[0]

    run.plant.put = labelled  # type: ignore[method-assign]


# --- books ---


def test_books_a_load_that_is_forgotten_with_its_order() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        end_order = orders._end_order

        def tidy(turn: Turn, order: Order, trigger: str, reason: str) -> None:
            end_order(turn, order, trigger, reason)
            known = turn.state.loads.get(turn.state.tasks[order.tasks[0]].load)
            if known is not None:
                loads.forget(turn, known)

        patch.setattr(orders, "_end_order", tidy)

    found = caught("books", plant, CALM)
    assert "books and plant differ" in found.text
    assert "not known" in found.text


def test_books_room_that_is_kept_for_a_load_whose_order_was_cancelled() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(loads, "release_room", lambda _turn, _load: None)

    assert "room is still kept" in caught("books", plant, CANCELS).text


def test_books_vehicles_that_nobody_sends_home() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(drives, "_send_home", lambda _turn: None)

    assert "its place is H" in caught("books", plant, FEW_ORDERS, seeds=(4, 7, 1, 2, 3)).text
