"""A vehicle that waits at its parking place with a low battery is told to charge, until it does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import Notice, SetMode, StepRequest
from gateway.devices.agv import AgvFactsheet, Instant

LOW_PERCENT = 60


def told(hall: Hall, vehicle: str = "AGV1") -> list[str]:
    """The ids of the actions by which it was told to charge, repetitions of a write apart."""
    actions = {c.seq: c.action for c in hall.commands(vehicle) if isinstance(c.action, Instant)}
    return [action.action_id for action in actions.values() if action.kind == "startCharging"]


def drained(hall: Hall, vehicle: str = "AGV1") -> None:
    hall.plant.fault("low_battery", vehicle, True, percent=LOW_PERCENT)


@pytest.fixture
def hall(make_hall: MakeHall) -> Iterator[Hall]:
    hall = make_hall()
    yield hall
    assert all(not told(hall, vehicle) for vehicle in hall.plant.vehicles if vehicle != "AGV1")


def test_it_is_told_once_and_charges(hall: Hall) -> None:
    drained(hall)
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=5)
    hall.run(30)
    assert len(told(hall)) == 1
    assert hall.alarms() == {}
    assert hall.kernel.state.agvs["AGV1"].state == "charging"


def test_a_command_to_charge_that_is_lost_is_written_again_and_none_is_given_beside_it(hall: Hall) -> None:
    hall.lose = lambda command: isinstance(command.action, Instant)
    drained(hall)
    hall.run(5)
    assert len(told(hall)) == 1
    assert len(hall.commands("AGV1")) > 1
    hall.lose = lambda command: False
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=5)
    assert len(told(hall)) == 1


def test_one_that_says_yes_and_does_not_charge_is_told_again_with_pauses_and_then_a_person(hall: Hall) -> None:
    """Its plug has no contact: the action is finished, and the battery does not rise."""
    sim = hall.plant.vehicles["AGV1"]
    sim._instant = lambda type_: None  # type: ignore[method-assign]
    drained(hall)
    hall.until(lambda: "AGV1/keeps-refusing" in hall.alarms(), limit_s=120)
    assert "has been told to charge" in hall.alarms()["AGV1/keeps-refusing"]
    ids = told(hall)
    assert len(ids) == len(set(ids)) == 8
    del sim._instant
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=10)
    hall.until(lambda: hall.alarms() == {}, limit_s=5)


@pytest.mark.parametrize("actions", [("pick", "drop"), ("pick", "drop", "startCharging")])
def test_one_that_says_that_it_can_t_charge_is_not_told(hall: Hall, actions: tuple[str, ...]) -> None:
    """Its factsheet counts; as long as there is none, it is tried."""
    hall.enter(Notice("AGV1", AgvFactsheet("S7", actions, 1500, 1200, 800)))
    drained(hall)
    hall.run(10)
    assert bool(told(hall)) is ("startCharging" in actions)
    assert hall.kernel.state.agvs["AGV1"].charging is ("startCharging" in actions)


def test_one_that_an_operator_has_taken_over_is_left_alone(hall: Hall) -> None:
    hall.must(SetMode("AGV1", "manual"))
    drained(hall)
    hall.run(10)
    assert told(hall) == []
    hall.must(SetMode("AGV1", "automatic"))
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=5)


def test_a_load_ends_the_charging_and_at_home_it_goes_on(hall: Hall) -> None:
    drained(hall)
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=5)
    for vehicle in hall.plant.vehicles:
        if vehicle != "AGV1":
            hall.cut(vehicle)
    order = hall.order("M", StepRequest("go", "move", hall.put(), "RACK-2"))
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].state == "driving", limit_s=5)
    assert not hall.kernel.state.agvs["AGV1"].charging
    hall.until_ended(order)
    assert len(told(hall)) == 1, "not on its way, nor in a station"
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=120)
    assert hall.kernel.state.agvs["AGV1"].last_node == hall.kernel.floor.agvs["AGV1"].home
    assert len(told(hall)) == 2
