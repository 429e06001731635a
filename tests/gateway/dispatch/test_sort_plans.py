"""Another sort plan in force while the site runs: whole or not at all, over restarts and other YAMLs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from small_plant import Hall

from gateway.contract import SiteChanged, UseSortPlan
from gateway.kernel import Kernel
from gateway.site import Site, SortPlanSpec, encode_site


def plan(**destinations: Any) -> str:
    return json.dumps({"id": "weekend", "destinations": destinations})


WEEKEND = plan(BERLIN={"sorter": "S1", "lanes": [5]})


def test_a_plan_sorts_from_the_next_scan_on_and_outlives_a_restart(hall: Hall) -> None:
    hall.must(UseSortPlan(WEEKEND))
    load = hall.put()
    hall.until_ended(hall.ship(load))
    assert hall.where(load) == "LANE-5"
    hall.restart()
    assert hall.kernel.site.sort_plan is not None
    assert hall.kernel.site.sort_plan.id == "weekend"
    hall.must(UseSortPlan(""))
    again = hall.put()
    hall.until_ended(hall.ship(again))
    assert hall.where(again) == "LANE-1"
    assert hall.kernel.state.sort_plan == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "no sort plan: plan: Invalid JSON"),
        ('{"id": "x"}', "no sort plan: destinations: Field required"),
        (plan(BERLIN={"sorter": "S9", "lanes": [1]}), "destination BERLIN: there is no sorter S9 (there is S1)"),
        (
            plan(BERLIN={"sorter": "S1", "lanes": [12]}),
            "destination BERLIN: sorter S1 has no lane 12; the lanes are 1",
        ),
        (plan(BERLIN={"sorter": "S1", "lanes": [9]}), "destination BERLIN: lane 9 is the reject lane of S1"),
        (plan(BERLIN={"sorter": "S1", "lanes": [3, 2]}), "destination BERLIN: lane 2 lies before lane 3"),
    ],
)
def test_a_plan_that_does_not_fit_changes_nothing(hall: Hall, text: str, reason: str) -> None:
    before = hall.kernel.site
    reply = hall.ask(UseSortPlan(text))
    assert (reply.accepted, reply.code) == (False, "invalid")
    assert reply.reason.startswith(reason)
    assert hall.kernel.site == before


def test_a_yaml_with_the_same_plan_leaves_it_in_force(hall: Hall, site: Site) -> None:
    hall.enter(SiteChanged(encode_site(site), at_start=True))
    hall.must(UseSortPlan(WEEKEND))
    slower = site.model_copy(update={"policies": site.policies.model_copy(update={"orders_released_max": 3})})
    hall.enter(SiteChanged(encode_site(slower), at_start=False))
    assert hall.kernel.site.policies.orders_released_max == 3
    assert hall.kernel.site.sort_plan is not None
    assert hall.kernel.site.sort_plan.id == "weekend"
    assert Kernel(site, hall.kernel.state).site == hall.kernel.site


def test_a_yaml_with_another_plan_takes_its_place(hall: Hall, site: Site) -> None:
    hall.enter(SiteChanged(encode_site(site), at_start=True))
    hall.must(UseSortPlan(WEEKEND))
    other = SortPlanSpec.model_validate_json(plan(HAMBURG={"sorter": "S1", "lanes": [2]}).replace("weekend", "monday"))
    hall.enter(SiteChanged(encode_site(site.model_copy(update={"sort_plan": other})), at_start=False))
    assert hall.kernel.site.sort_plan == other
    assert hall.kernel.state.sort_plan == ""
    assert hall.notes("sort plan of the YAML is in force again")[-1].detail == "the YAML has another one now"
    hall.must(UseSortPlan(WEEKEND))
    hall.must(UseSortPlan(""))
    assert hall.kernel.site.sort_plan == other


def test_a_yaml_without_a_sort_plan_has_none_to_go_back_to(hall: Hall, site: Site) -> None:
    hall.enter(SiteChanged(encode_site(site.model_copy(update={"sort_plan": None})), at_start=False))
    hall.must(UseSortPlan(WEEKEND))
    hall.must(UseSortPlan(""))
    assert hall.kernel.site.sort_plan is None
