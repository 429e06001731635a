"""Values of requests out of records: texts, whole numbers, moments. Templates are taken apart once, at the start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.host.channels.lookup import MISSING, Scope, Wrong, entries, find, keys_of, shown, text_of
from gateway.site.channel_mapping import ConditionSpec, EachTextSpec, TextSpec, TimeSpec, WholeSpec
from gateway.site.channel_template import Way, parse_path, parse_template

TEXT_MAX = 1_000
NUMBER_MAX = 40
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE_LENGTH = 10


class Filled:
    """A template, or several of which the first that gives something counts."""

    def __init__(self, templates: Sequence[str], field: str) -> None:
        self._templates = [parse_template(template) for template in templates]
        self._field = field

    def fill(self, scope: Scope) -> str:
        """Raises Wrong where a place that is not optional finds nothing, in the last of several."""
        last = len(self._templates) - 1
        for number, parts in enumerate(self._templates):
            try:
                found = "".join(part if isinstance(part, str) else self._place(part, scope) for part in parts)
            except _Nothing as nothing:
                if number == last:
                    raise Wrong(self._field, nothing.problem) from None
                continue
            if found.strip():
                if len(found) > TEXT_MAX:
                    raise Wrong(self._field, f"{shown(found)} has {len(found)} characters, at most {TEXT_MAX}")
                return found.strip()
        return ""

    def _place(self, way: Way, scope: Scope) -> str:
        value = find(way, scope)
        if value is None or value is MISSING:
            if way.optional:
                return ""
            what = "is null" if value is None else f"is not there; there is {keys_of(scope)}"
            raise _Nothing(f"{way.text} {what}. Send it, or write {{{way.text}?}} where it may be absent")
        return text_of(value, way, self._field)


class _Nothing(Exception):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class TextValue:
    def __init__(self, spec: TextSpec, field: str) -> None:
        self._filled = Filled(spec.from_, field)
        self._spec = spec
        self._field = field

    def get(self, scope: Scope) -> str:
        """May be empty."""
        spec = self._spec
        text = self._filled.fill(scope) or spec.default
        if spec.values:
            if text in spec.values:
                return spec.values[text]
            if spec.otherwise is None:
                raise Wrong(self._field, _unlisted(text, list(spec.values)))
            return spec.otherwise
        for old, new in spec.replace.items():
            text = text.replace(old, new)
        if len(text) > TEXT_MAX:
            raise Wrong(self._field, f"{shown(text)} has {len(text)} characters, at most {TEXT_MAX}")
        if spec.letters == "upper":
            return text.upper()
        return text.lower() if spec.letters == "lower" else text

    def require(self, scope: Scope) -> str:
        """What must not be empty."""
        text = self.get(scope)
        if not text:
            raise Wrong(self._field, f"{' or '.join(self._spec.from_)} gives an empty text: send it, or set `default`")
        return text


class TextValues:
    """Texts of several templates, some of them one for each entry of a list; empty ones are left out."""

    def __init__(self, specs: Sequence[EachTextSpec], field: str) -> None:
        self._values = [
            (TextValue(spec, field), parse_path(spec.for_each) if spec.for_each is not None else None) for spec in specs
        ]
        self._field = field

    def get(self, scope: Scope) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for value, way in self._values:
            for inner in [scope] if way is None else entries(way, scope, self._field):
                text = value.get(inner)
                if text:
                    found[text] = None
        return tuple(found)


class WholeValue:
    def __init__(self, spec: WholeSpec, field: str) -> None:
        self._filled = Filled(spec.from_, field)
        self._spec = spec
        self._field = field

    def get(self, scope: Scope) -> int:
        spec = self._spec
        text = self._filled.fill(scope)
        if not text:
            if spec.default is None:
                wanted = " or ".join(spec.from_)
                raise Wrong(self._field, f"{wanted} gives an empty text, not a number: send it, or set `default`")
            return spec.default
        if spec.values:
            if text in spec.values:
                return spec.values[text]
            if spec.otherwise is None:
                raise Wrong(self._field, _unlisted(text, list(spec.values)))
            return spec.otherwise
        return self._number(text)

    def _number(self, text: str) -> int:
        spec = self._spec
        plain = text.replace(spec.thousands, "") if spec.thousands else text
        if spec.decimal == ",":
            plain = plain.replace(".", "x").replace(",", ".")  # a point is none of its marks
        try:
            value = Decimal(plain) if len(plain) <= NUMBER_MAX and plain.isascii() and "_" not in plain else None
        except InvalidOperation:
            value = None
        if value is None or not value.is_finite() or value.adjusted() > NUMBER_MAX:
            marks = f"decimal mark {spec.decimal!r}, thousands mark {spec.thousands!r}"
            raise Wrong(self._field, f"{shown(text)} is no number ({marks})")
        if value != value.to_integral_value():
            raise Wrong(self._field, f"{shown(text)} is not a whole number")
        if not INT_MIN <= int(value) <= INT_MAX:
            raise Wrong(self._field, f"{shown(text)} has more than 64 bits")
        return int(value)


class TimeValue:
    """Raises ValueError for a zone that this machine does not know."""

    def __init__(self, spec: TimeSpec, site_zone: str, field: str) -> None:
        self._filled = Filled(spec.from_, field)
        self._spec = spec
        self._field = field
        name = spec.zone or site_zone
        try:
            self._zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"the time zone {name!r} is unknown here: use a name such as Europe/Berlin") from None
        hours, _, minutes = spec.time_of_day.partition(":")
        self._time_of_day = time(int(hours), int(minutes))

    def get(self, scope: Scope) -> int | None:
        """Nanoseconds since the Unix epoch; None for an empty text."""
        text = self._filled.fill(scope)
        if not text:
            return None
        if self._spec.format in ("unix_s", "unix_ms"):
            ns = self._unix(text)
        else:
            # Of a local time that comes twice (end of summer time) the first is meant: early does no harm.
            ns = (self._moment(text) - EPOCH) // timedelta(microseconds=1) * 1_000
        if not 0 <= ns <= INT_MAX:
            raise Wrong(self._field, f"{shown(text)} is outside 1970 to 2262")
        return ns

    def _unix(self, text: str) -> int:
        try:
            number = Decimal(text) if len(text) <= NUMBER_MAX and "_" not in text else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number.adjusted() > 20:
            raise Wrong(self._field, f"{shown(text)} is no time in {self._spec.format}")
        return int(number * (1_000_000_000 if self._spec.format == "unix_s" else 1_000_000))

    def _moment(self, text: str) -> datetime:
        layout = self._spec.format
        try:
            if layout == "iso":
                found = datetime.fromisoformat(text)
                dated = len(text) > DATE_LENGTH or "T" in text
            else:
                found = datetime.strptime(text, layout)  # the zone is put in below
                dated = self._spec.has_clock
        except ValueError:
            wanted = "ISO 8601, such as 2026-11-30T14:00" if layout == "iso" else layout
            raise Wrong(self._field, f"{shown(text)} is no time as in {wanted}") from None
        if not dated:
            found = datetime.combine(found.date(), self._time_of_day, found.tzinfo)
        if found.tzinfo is None:
            found = found.replace(tzinfo=self._zone)
        try:
            return found.astimezone(UTC)
        except OverflowError:
            raise Wrong(self._field, f"{shown(text)} is outside 1970 to 2262") from None


class Conditions:
    """`when` and `unless` of a rule or a step."""

    def __init__(self, when: Sequence[ConditionSpec], unless: Sequence[ConditionSpec]) -> None:
        self._when = [_Condition(spec) for spec in when]
        self._unless = [_Condition(spec) for spec in unless]

    def hold(self, scope: Scope) -> bool:
        return all(c.holds(scope) for c in self._when) and not any(c.holds(scope) for c in self._unless)


class _Condition:
    def __init__(self, spec: ConditionSpec) -> None:
        self._way = parse_path(spec.field)
        self._exists = spec.exists
        wanted = spec.in_ if spec.in_ is not None else (spec.equals,)
        self._wanted = {_word(value) for value in wanted if value is not None}

    def holds(self, scope: Scope) -> bool:
        value = find(self._way, scope)
        if self._exists is not None:
            empty = value is MISSING or value is None or (isinstance(value, str) and not value.strip()) or value == []
            return self._exists is not empty
        if isinstance(value, str | int | float):
            return _word(value) in self._wanted
        return False


def _word(value: str | int | float) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _unlisted(text: str, known: list[str]) -> str:
    names = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return f"{shown(text)} is none of {names}: add it to `values`, or set `otherwise`"
