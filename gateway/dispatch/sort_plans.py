"""Sort plans that are put in force while the site runs, in place of the one that its YAML has."""

from __future__ import annotations

from pydantic import ValidationError

from gateway.site import Site, SorterSpec, SortPlanSpec
from gateway.site.checks_flow import check_sort_plan

PROBLEMS_MAX = 5


def with_plan(site: Site, plan: str) -> Site:
    """`site` with another plan. Raises ValueError for what is no plan."""
    return site.model_copy(update={"sort_plan": SortPlanSpec.model_validate_json(plan)})


def fitting(site: Site, plan: str) -> Site | str:
    """`site` with another plan; why not, where the plan does not fit its sorters."""
    try:
        found = SortPlanSpec.model_validate_json(plan)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in error.errors()[:PROBLEMS_MAX]]
        return f"no sort plan: {'; '.join(problems)}"
    sorters = {d.id: d for d in site.devices if isinstance(d, SorterSpec)}
    for name, dest in found.destinations.items():
        if dest.sorter not in sorters:
            return f"destination {name}: there is no sorter {dest.sorter} (there is {', '.join(sorters) or 'none'})"
    wrong = next(check_sort_plan(found, sorters), None)
    if wrong is not None:
        return f"{wrong.message}; {wrong.hint}"
    return site.model_copy(update={"sort_plan": found})
