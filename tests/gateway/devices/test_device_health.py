"""Link health: what a lost, doubtful or new connection does to a device's usability."""

from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.health import Health

LINKS: tuple[Literal["up", "uncertain", "down"], ...] = ("up", "uncertain", "down")
steps = st.lists(st.sampled_from([*LINKS, "report"]), max_size=25)


@given(steps=steps)
def test_usable_only_with_a_report_of_this_connection(
    steps: list[Literal["up", "uncertain", "down", "report"]],
) -> None:
    health = Health()
    link, reported = "down", False
    for at_ns, step in enumerate(steps, 1):
        if step == "report":
            health.reported = reported = True
            continue
        if step != link and "down" in (step, link):
            reported = False
        changed = step != link
        link = step
        health.link_changed(step, f"reason {at_ns}", at_ns)
        assert health.link_reason == f"reason {at_ns}"
        assert (health.link_since_ns == at_ns) is changed
        assert (health.refusal() is None) is (link == "up" and reported)
        if link == "down":
            assert health.refusal() == f"link is down: reason {at_ns}"


def test_an_operators_mode_comes_on_top() -> None:
    health = Health()
    health.link_changed("up", "connected", 1)
    assert health.refusal() == "no report since the link came up"
    health.reported = True
    assert health.refusal() is None
    health.mode = "maintenance"
    assert health.refusal() == "switched to maintenance by an operator"
