"""Cross-checks of a whole site: what no single block can know. Pure; all findings in one run."""

from __future__ import annotations

from collections.abc import Collection

from gateway.site.checks_finding import Finding
from gateway.site.checks_flow import check_flow, check_served
from gateway.site.checks_ids import check_ids, check_references, index
from gateway.site.checks_profile import check_profiles
from gateway.site.checks_roadmap import check_homes, check_roadmap
from gateway.site.checks_signals import check_signals
from gateway.site.checks_wire import check_wire
from gateway.site.model import Site

__all__ = ["Finding", "check"]


def check(site: Site, *, left_out: Collection[str] | None = None, shipped: Collection[str] = ()) -> list[Finding]:
    """Everything in `site` that does not fit together.

    `left_out`: ids and profile names that exist but could not be read, so that they are missing in `site`; None
    when it is whole. What follows from something being absent is then not judged. `shipped`: profile names that
    a device could also have named, for hints.
    """
    ids = index(site, frozenset(left_out or ()), shipped)
    unknown = list(check_references(site, ids))
    findings = [
        *check_ids(site),
        *unknown,
        *check_wire(site, ids),
        *check_signals(site, ids),
        *check_profiles(site, ids),
        *check_flow(site, ids),
        *check_homes(site),
    ]
    # A missing or misspelt name makes a location seem unreachable that is not: no topology of half a floor.
    if left_out is None and not unknown:
        findings.extend(check_served(site))
        findings.extend(check_roadmap(site))
    return findings
