"""A lane that shows no load is empty, whether or not somebody's word of it has come through."""

from __future__ import annotations

from small_plant import Hall, MakeHall

from gateway.contract import AnnounceLoad, CreateOrder, StepRequest


def booked(hall: Hall, load: str) -> bool:
    return load in hall.kernel.state.loads


def test_loads_that_were_shipped_while_nobody_could_tell_leave_the_books(make_hall: MakeHall) -> None:
    """The sorter's PLC restarts, and the event that lane 1 was emptied is gone with its ring."""
    hall = make_hall()
    assert hall.ask(AnnounceLoad("GONE", "LANE-1")).accepted
    hall.run(5)
    assert booked(hall, "GONE")  # the level may be older than whoever put the load there
    hall.run(10)
    assert not booked(hall, "GONE")
    assert hall.kernel.state.tally.loads_shipped == 1


def test_a_load_that_an_order_still_wants_is_not_written_off(make_hall: MakeHall) -> None:
    hall = make_hall()
    assert hall.ask(AnnounceLoad("KEPT", "LANE-1")).accepted
    assert hall.ask(CreateOrder("O1", (StepRequest("look", "work", "KEPT", "", skill="clarify"),))).accepted
    hall.run(30)
    assert booked(hall, "KEPT")


def test_what_lies_in_the_lane_stays(make_hall: MakeHall) -> None:
    hall = make_hall()
    hall.plant.put("THERE", ("CODE-9",), "LANE-1")
    assert hall.ask(AnnounceLoad("THERE", "LANE-1", ("CODE-9",))).accepted
    hall.run(30)
    assert booked(hall, "THERE")
