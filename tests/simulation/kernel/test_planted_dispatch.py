"""What people at the plant rely on: nothing is decided blindly, everything says why, everything ends."""

from __future__ import annotations

from functools import partial

import pytest
from planted import caught

from gateway.contract import LinkChanged, LinkState, Ns
from gateway.devices.health import Health
from gateway.devices.sorter import Sorter, Track
from gateway.dispatch import flow, ledger, sort
from gateway.dispatch.state import Entry, Load
from gateway.dispatch.turn import Turn
from gateway.simulation import links
from gateway.simulation.links import PlcClient
from gateway.simulation.run import Options, Run
from gateway.simulation.timeline import SECOND
from plc_simulators.models.mailbox import Mailbox

DROPS = Options(hours=0.05, kinds=("link_drop",), fault_mean_s=5)
NO_READ = Options(hours=0.05, kinds=("no_read",), fault_mean_s=10)


def test_stale_a_dispatcher_that_takes_every_link_for_up() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        link_changed = Health.link_changed

        def hopeful(self: Health, state: LinkState, reason: str, at_ns: Ns) -> None:
            link_changed(self, "up", reason, at_ns)

        patch.setattr(Health, "link_changed", hopeful)

    assert "was sent while the link was" in caught("stale", plant, DROPS).text


def test_stale_a_driver_that_takes_an_open_connection_for_a_live_plc() -> None:
    """Nobody looks whether the heartbeat moves."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(PlcClient, "_silent", lambda _self, _now_ns: None)

    assert "has not been seen for" in caught("stale", plant, scene=_cell_unheard).text


def _cell_unheard(run: Run) -> None:
    """What the robot cell says does not come through any more; what is on its way to it arrives all the same."""
    trouble = run.server.trouble["RC1"]
    run.timeline.at(20 * SECOND, partial(setattr, trouble, "mute_up", 1))
    run.timeline.at(300 * SECOND, partial(setattr, trouble, "mute_up", 0))


def test_stale_a_vehicle_that_counts_as_online_for_ever() -> None:
    """Once online, always online: no state message for minutes is not noticed."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(links, "VEHICLE_STALE_NS", 10**18)

    assert "has not been seen for" in caught("stale", plant, scene=_vehicles_unheard).text


def _vehicles_unheard(run: Run) -> None:
    """What the vehicles say does not come through any more; what is sent to them does."""
    for vehicle in run.plant.vehicles:
        trouble = run.server.trouble[vehicle]
        run.timeline.at(50 * SECOND, partial(setattr, trouble, "mute_up", 1))
        run.timeline.at(220 * SECOND, partial(setattr, trouble, "mute_up", 0))


def test_reasons_a_phase_that_empties_the_reason() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        say = flow._say

        def silent(turn: Turn, load: Load, reason: str) -> None:
            say(turn, load, "")

        patch.setattr(flow, "_say", silent)

    assert "does not say why" in caught("reasons", plant).text


def test_bounded_a_plc_that_never_answers_and_nobody_is_called() -> None:
    """Its commands become unknown, and the alarm for a person is missing."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        def quietly(_turn: Turn, entry: Entry, _why: str) -> None:
            entry.state = "unknown"

        patch.setattr(ledger, "_unknown", quietly)
        patch.setattr(Mailbox, "offer", lambda _self, _offer, _now_ns: None)

    found = caught("bounded", plant)
    assert "not at rest 40 min after the last fault" in found.text
    assert "unknown Induct" in found.text


def test_total_a_no_read_whose_first_barcode_is_looked_at() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        identify = sort._identify

        def careless(turn: Turn, sorter: Sorter, track: Track) -> tuple[Load | None, str]:
            turn.note(sorter.device, "scanned", track.barcodes[0])
            return identify(turn, sorter, track)

        patch.setattr(sort, "_identify", careless)

    found = caught("total", plant, NO_READ)
    assert "the kernel failed at input" in found.text
    assert "IndexError" in found.text


def test_total_a_driver_that_hands_over_the_error_instead_of_its_text() -> None:
    def plant(patch: pytest.MonkeyPatch) -> None:
        def raw(self: PlcClient, state: LinkState, reason: str) -> None:
            if state != self._state:
                self._state = state
                self._room.post(LinkChanged(self.device, state, OSError(reason)))  # type: ignore[arg-type]

        patch.setattr(PlcClient, "_change", raw)

    assert "could not be written down" in caught("total", plant, DROPS).text
