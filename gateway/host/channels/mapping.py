"""A mapping at work: from one record to requests, or to the reason why not. docs/channels.md is its guide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.contract import (
    AnnounceLoad,
    CancelOrder,
    ChangeOrder,
    CreateOrder,
    HoldOrder,
    RemoveLoad,
    Request,
    StepRequest,
)
from gateway.host.channels.lookup import Scope, Wrong, entries, find, shown
from gateway.host.channels.values import Conditions, Filled, TextValue, TextValues, TimeValue, WholeValue
from gateway.host.formats import Record
from gateway.site.channel_mapping import MappingSpec, RuleSpec, StepSpec
from gateway.site.channel_template import Way, parse_path

REQUESTS_MAX = 1_000
"""Of one record."""
STEPS_MAX = 64
"""Of one order, as in the kernel."""
ID_LENGTH_MAX = 200
GROUP_MAX = 10_000
"""Records that become one by `group_by`."""


class Unmapped(Exception):
    """A record that gives no requests; the text names rule, field, value and what to do. Nothing of it was asked."""


class Mapping:
    """Raises ValueError for a zone that this machine does not know; all else the YAML's check has seen."""

    def __init__(self, spec: MappingSpec, site_zone: str) -> None:
        self._request_id = Filled((spec.request_id,), "request_id") if spec.request_id else None
        self._group_by = [parse_path(text) for text in spec.group_by]
        self._ignores = spec.unmatched == "ignore"
        self._rules = [_Rule(rule, number, site_zone) for number, rule in enumerate(spec.rules, 1)]

    def requests(self, record: Record, identity: str, source: str = "") -> list[tuple[str, Request]]:
        """Request ids and requests, in order; empty where the mapping ignores such records.

        `identity`: the request id where the mapping has no rule for it. `source`: what the message is called, for
        `{@source}`. Raises Unmapped.
        """
        scope = Scope(record, record, source)
        base = identity
        if self._request_id is not None:
            try:
                base = self._request_id.fill(scope)
            except Wrong as wrong:
                raise Unmapped(str(wrong)) from None
        found: list[tuple[str, Request]] = []
        ids: set[str] = set()
        matched = False
        for rule in self._rules:
            for own_id, request in rule.requests(scope):
                matched = True
                if len(found) >= REQUESTS_MAX:
                    raise Unmapped(f"{rule.name}: more than {REQUESTS_MAX} requests of one record: send it in parts")
                request_id = own_id or (base if not found else f"{base}.{len(found) + 1}")
                if not 0 < len(request_id) <= ID_LENGTH_MAX:
                    raise Unmapped(
                        f"{rule.name}: the request id {shown(request_id)} must have 1 to {ID_LENGTH_MAX} characters"
                    )
                if request_id in ids:
                    raise Unmapped(
                        f"{rule.name}: the request id {shown(request_id)} comes twice in one record: put {{@index}} or "
                        "another difference into `request_id`"
                    )
                ids.add(request_id)
                found.append((request_id, request))
        if not matched and not self._ignores:
            names = ", ".join(rule.name for rule in self._rules)
            way_on = "see their `when` and `for_each`, or set `unmatched: ignore`"
            raise Unmapped(f"no rule is for this record ({names}): {way_on}")
        return found

    def grouped(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records as `group_by` puts them together; all of them where it is not used. Holds one group in memory."""
        if not self._group_by:
            yield from records
            return
        group: list[Record] = []
        key: list[object] = []
        for record in records:
            scope = Scope(record, record, "")
            own = [find(way, scope) for way in self._group_by]
            if group and (own != key or len(group) >= GROUP_MAX):
                yield {**group[0], "rows": group}
                group = []
            group.append(record)
            key = own
        if group:
            yield {**group[0], "rows": group}


class _Rule:
    def __init__(self, spec: RuleSpec, number: int, site_zone: str) -> None:
        self.name = f"rule {number} ({spec.request})"
        self._spec = spec
        self._conditions = Conditions(spec.when, spec.unless)
        self._each = _way(spec.for_each)
        self._id = Filled((spec.request_id,), "request_id") if spec.request_id else None
        self._texts = {
            name: TextValue(value, name)
            for name in ("order", "reason", "load", "location")
            if (value := getattr(spec, name)) is not None
        }
        self._barcodes = TextValues(spec.barcodes or (), "barcodes")
        self._priority = WholeValue(spec.priority, "priority") if spec.priority is not None else None
        self._version = WholeValue(spec.version, "version") if spec.version is not None else None
        self._deadline = TimeValue(spec.deadline, site_zone, "deadline") if spec.deadline is not None else None
        self._steps = [_Step(step, n) for n, step in enumerate(spec.steps or (), 1)]

    def requests(self, scope: Scope) -> Iterator[tuple[str, Request]]:
        """Own id ("" = the record's) and request, for each entry that fits. Raises Unmapped."""
        try:
            for inner in [scope] if self._each is None else entries(self._each, scope, "for_each"):
                if self._conditions.hold(inner):
                    yield (self._id.fill(inner) if self._id is not None else ""), self._request(inner)
        except Wrong as wrong:
            raise Unmapped(f"{self.name}, {wrong.field}: {wrong.problem}") from None

    def _request(self, scope: Scope) -> Request:
        match self._spec.request:
            case "create_order":
                priority = self._priority.get(scope) if self._priority is not None else 3
                steps = self._all_steps(scope)
                return CreateOrder(self._needed("order", scope), steps, priority, self._due(scope))
            case "change_order":
                return ChangeOrder(
                    self._needed("order", scope),
                    priority=self._priority.get(scope) if self._priority is not None else None,
                    deadline_ns=self._due(scope),
                    steps=self._all_steps(scope) if self._steps else None,
                    version=self._which(scope),
                )
            case "cancel_order":
                return CancelOrder(self._needed("order", scope), self._text("reason", scope), self._which(scope))
            case "hold_order":
                hold = self._spec.hold is not False
                order, reason = self._needed("order", scope), self._text("reason", scope)
                return HoldOrder(order, hold, reason, self._which(scope))
            case "announce_load":
                load, location = self._needed("load", scope), self._needed("location", scope)
                return AnnounceLoad(load, location, self._barcodes.get(scope))
            case "remove_load":
                return RemoveLoad(self._needed("load", scope), self._text("reason", scope))

    def _needed(self, name: str, scope: Scope) -> str:
        return self._texts[name].require(scope)

    def _text(self, name: str, scope: Scope) -> str:
        value = self._texts.get(name)
        return value.get(scope) if value is not None else ""

    def _due(self, scope: Scope) -> int | None:
        return self._deadline.get(scope) if self._deadline is not None else None

    def _which(self, scope: Scope) -> int:
        return self._version.get(scope) if self._version is not None else 0

    def _all_steps(self, scope: Scope) -> tuple[StepRequest, ...]:
        found: list[StepRequest] = []
        for step in self._steps:
            for one in step.requests(scope, found):
                if len(found) >= STEPS_MAX:
                    raise Wrong("steps", f"more than {STEPS_MAX} steps in one order: send several orders")
                found.append(one)
        if not found:
            raise Wrong("steps", "the record gives no step: see the `for_each` and `when` of its steps")
        return tuple(found)


class _Step:
    def __init__(self, spec: StepSpec, number: int) -> None:
        self._name = f"steps, entry {number}"
        self._kind = spec.kind
        self._each = _way(spec.for_each)
        self._conditions = Conditions(spec.when, spec.unless)
        self._step = TextValue(spec.step, f"{self._name}, step")
        self._load = TextValue(spec.load, f"{self._name}, load")
        self._to = TextValue(spec.to, f"{self._name}, to")
        self._skill = TextValue(spec.skill, f"{self._name}, skill") if spec.skill is not None else None
        self._recipe = TextValue(spec.recipe, f"{self._name}, recipe") if spec.recipe is not None else None
        self._after = TextValues(spec.after, f"{self._name}, after")

    def requests(self, scope: Scope, before: list[StepRequest]) -> Iterator[StepRequest]:
        """`before` grows with what is yielded: its last one is `{@previous}`."""
        for inner in [scope] if self._each is None else entries(self._each, scope, self._name):
            inner = inner._replace(previous=before[-1].step if before else "")
            if self._conditions.hold(inner):
                yield StepRequest(
                    self._step.require(inner),
                    self._kind,
                    self._load.require(inner),
                    self._to.require(inner),
                    self._skill.get(inner) if self._skill is not None else "",
                    self._recipe.get(inner) if self._recipe is not None else "",
                    self._after.get(inner),
                )


def _way(text: str | None) -> Way | None:
    return parse_path(text) if text is not None else None
