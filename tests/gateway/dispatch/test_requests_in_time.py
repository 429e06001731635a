"""What was right to ask, and is answered later by what has happened since."""

from __future__ import annotations

from small_plant import Hall, MakeHall

from gateway.contract import AcknowledgeAlarm, AnnounceLoad, RemoveLoad, ShellAlarm, StepRequest


def test_a_step_whose_load_has_left_the_site_fails_when_its_turn_comes(staffed: Hall) -> None:
    """It was not the step's load yet when it went: its order is told all the same."""
    first, second = staffed.put(), staffed.put()
    order = staffed.order(
        "two",
        StepRequest("a", "move", first, "RACK-2"),
        StepRequest("b", "move", second, "RACK-3", after=("a",)),
    )
    staffed.must(RemoveLoad(second, "broken"))
    assert staffed.state_of(order) == "started"
    staffed.until_ended(order)
    assert staffed.kernel.state.orders[order].reason == f"step b: load {second} has left the site"
    staffed.plant.take_away(second)
    staffed.until_quiet()


def test_a_load_announced_again_with_its_own_barcodes_has_each_of_them_once(staffed: Hall) -> None:
    load = staffed.put(codes=("A-1", "A-2"))
    staffed.must(AnnounceLoad(load, "RACK-1", ("A-2", "A-3", "A-3")))
    assert staffed.kernel.state.loads[load].barcodes == ("A-1", "A-2", load, "A-3")
    assert staffed.kernel.state.by_barcode["A-2"] == [load]


def test_an_alarm_that_has_gone_leaves_the_list_when_somebody_acknowledges_it(make_hall: MakeHall) -> None:
    hall = make_hall()
    hall.enter(ShellAlarm("shell", "bad frames", "17 in a minute", True))
    hall.enter(ShellAlarm("shell", "bad frames", "", False))
    hall.must(AcknowledgeAlarm("shell/bad frames"))
    assert "shell/bad frames" not in hall.kernel.state.alarms
    again = hall.ask(AcknowledgeAlarm("shell/bad frames"))
    assert again.reason == "unknown alarm 'shell/bad frames'"
