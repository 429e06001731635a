"""How a record of a host becomes requests: rules in YAML, data and no code. docs/channels.md shows them at work.

A rule makes one request, or with `for_each` one for each entry of a list. All rules whose conditions hold are used,
from the first to the last.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from gateway.site.channel_template import FieldPath, Template, Way, parse_template
from gateway.site.spec import Spec

RULES_MAX = 50
STEPS_MAX = 64
CONDITIONS_MAX = 20
VALUES_MAX = 10_000
TEMPLATES_MAX = 8
PLAIN_FORMATS = ("iso", "unix_s", "unix_ms")
_DIRECTIVES = "YymdHIMSfpzj"
_CLOCKS = ("%H", "%I")


def _one_or_many(value: Any) -> Any:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return (str(value),)
    if isinstance(value, list | tuple):
        return tuple(str(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value)
    return value


def _few(templates: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(templates) <= TEMPLATES_MAX:
        raise ValueError(f"{len(templates)} templates, must be 1 to {TEMPLATES_MAX}")
    return templates


Short = str | int | list[str | int]
From = Annotated[
    tuple[Template, ...],
    AfterValidator(_few),
    BeforeValidator(_one_or_many, json_schema_input_type=Short),
]
"""A template, or several: the first that gives something counts."""


class TextSpec(Spec):
    """A text. Blanks around it are taken off."""

    from_: From = Field(alias="from")
    replace: dict[str, str] = Field(default={}, max_length=20)
    """Text → text in its place, such as {"/": "-"}."""
    letters: Literal["as_they_are", "upper", "lower"] = "as_they_are"
    values: dict[str, str] = Field(default={}, max_length=VALUES_MAX)
    """The host's word → ours. A word that is not here is an error, or `otherwise`."""
    otherwise: str | None = None
    default: str = ""
    """In place of an empty text."""

    @model_validator(mode="after")
    def _otherwise_has_values(self) -> TextSpec:
        if self.otherwise is not None and not self.values:
            raise ValueError("`otherwise` is for a word that `values` lacks: give `values`, or use `default`")
        return self


class EachTextSpec(TextSpec):
    """Texts: with `for_each` one for each entry of a list, else one. Empty ones are left out."""

    for_each: FieldPath | None = None


class WholeSpec(Spec):
    """A whole number, out of a number or a text."""

    from_: From = Field(alias="from")
    values: dict[str, int] = Field(default={}, max_length=VALUES_MAX)
    """The host's word → our number. A word that is not here is an error, or `otherwise`."""
    otherwise: int | None = None
    default: int | None = None
    """In place of an empty text; without it that is an error."""
    decimal: Literal[".", ","] = "."
    """The decimal mark; 12.0 is a whole number, 12.5 is an error."""
    thousands: Literal["", ".", ",", " ", "'"] = ""

    @model_validator(mode="after")
    def _marks_differ(self) -> WholeSpec:
        if self.decimal == self.thousands:
            raise ValueError(f"`decimal` and `thousands` are both {self.decimal!r}: they must differ")
        if self.otherwise is not None and not self.values:
            raise ValueError("`otherwise` is for a word that `values` lacks: give `values`, or use `default`")
        return self


class TimeSpec(Spec):
    """A moment. An empty text is no deadline."""

    from_: From = Field(alias="from")
    format: str = "iso"
    """`iso` (ISO 8601), `unix_s`, `unix_ms`, or a pattern such as `%d.%m.%Y %H:%M`."""
    zone: str = ""
    """Zone of a time that does not say its own, as in the IANA database (Europe/Berlin); "" = the site's."""
    time_of_day: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "23:59"
    """For a date without a time."""

    @model_validator(mode="after")
    def _format_is_known(self) -> TimeSpec:
        if self.format in PLAIN_FORMATS:
            return self
        plain = self.format.replace("%%", "")
        wrong = [found for found in re.findall(r"%.?", plain) if found[1:] not in tuple(_DIRECTIVES)]
        if wrong:
            # What depends on the machine's language (%b, %A, %x) reads otherwise elsewhere.
            raise ValueError(f"`format` has {wrong[0]!r}: use {', '.join('%' + d for d in _DIRECTIVES)} or %%")
        if "%Y" not in plain and "%y" not in plain:
            raise ValueError(f"`format` {self.format!r} is none of {', '.join(PLAIN_FORMATS)} and has no year (%Y, %y)")
        if not ("%j" in plain or ("%m" in plain and "%d" in plain)):
            raise ValueError(f"`format` {self.format!r} names no day: write %m and %d, or %j")
        if "%I" in plain and "%p" not in plain:
            raise ValueError(f"`format` {self.format!r} has %I without %p: write %H for 0 to 23")
        return self

    @property
    def has_clock(self) -> bool:
        return any(clock in self.format.replace("%%", "") for clock in _CLOCKS)


def _short(value: Any) -> Any:
    """`order: "{order_no}"` is short for `order: {from: "{order_no}"}`."""
    if isinstance(value, str | int | list | tuple) and not isinstance(value, bool):
        return {"from": value}
    return value


Text = Annotated[TextSpec, BeforeValidator(_short, json_schema_input_type=Short | TextSpec)]
EachText = Annotated[EachTextSpec, BeforeValidator(_short, json_schema_input_type=Short | EachTextSpec)]
Whole = Annotated[WholeSpec, BeforeValidator(_short, json_schema_input_type=Short | WholeSpec)]
Time = Annotated[TimeSpec, BeforeValidator(_short, json_schema_input_type=Short | TimeSpec)]


class ConditionSpec(Spec):
    """A look at one field: exactly one of `equals`, `in`, `exists`. What is not there or null equals nothing.

    Texts and numbers are compared as texts: 3 equals "3". Letters count as they are.
    """

    field: FieldPath
    equals: str | int | float | bool | None = None
    in_: tuple[str | int | float | bool, ...] | None = Field(default=None, alias="in", min_length=1, max_length=1_000)
    exists: bool | None = None
    """True: it is there and neither null, empty text, nor an empty list."""

    @model_validator(mode="after")
    def _one_question(self) -> ConditionSpec:
        asked = [name for name in ("equals", "in_", "exists") if getattr(self, name) is not None]
        if len(asked) != 1:
            raise ValueError(f"the condition on {self.field!r} needs one of `equals`, `in`, `exists`, not {len(asked)}")
        return self


Conditions = Annotated[tuple[ConditionSpec, ...], Field(max_length=CONDITIONS_MAX)]


class StepSpec(Spec):
    """A step of an order, or with `for_each` one for each entry of a list that fits `when` and `unless`."""

    for_each: FieldPath | None = None
    when: Conditions = ()
    """All must hold, looked at in the entry."""
    unless: Conditions = ()
    """None may hold."""
    step: Text
    kind: Literal["move", "sort", "work"]
    load: Text
    to: Text
    skill: Text | None = None
    recipe: Text | None = None
    after: tuple[EachText, ...] = Field(default=(), max_length=STEPS_MAX)
    """Steps of the same order that must be finished before; `{@previous}` is the one before this in the list."""


RequestName = Literal["create_order", "change_order", "cancel_order", "hold_order", "announce_load", "remove_load"]

_NEEDED: dict[str, tuple[str, ...]] = {
    "create_order": ("order", "steps"),
    "change_order": ("order",),
    "cancel_order": ("order",),
    "hold_order": ("order",),
    "announce_load": ("load", "location"),
    "remove_load": ("load",),
}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "create_order": ("priority", "deadline"),
    "change_order": ("priority", "deadline", "steps", "version"),
    "cancel_order": ("reason", "version"),
    "hold_order": ("hold", "reason", "version"),
    "announce_load": ("barcodes",),
    "remove_load": ("reason",),
}


class RuleSpec(Spec):
    """One request, and when it is made."""

    request: RequestName
    when: Conditions = ()
    """All must hold; with `for_each` they are looked at in the entry."""
    unless: Conditions = ()
    """None may hold."""
    for_each: FieldPath | None = None
    """A list: one request for each entry."""
    request_id: Template = ""
    """The request's id; "" = made of the record's."""
    order: Text | None = None
    priority: Whole | None = None
    deadline: Time | None = None
    steps: tuple[StepSpec, ...] | None = Field(default=None, min_length=1, max_length=STEPS_MAX)
    version: Whole | None = None
    hold: bool | None = None
    """False lets the order go on; without it the order is held."""
    reason: Text | None = None
    load: Text | None = None
    location: Text | None = None
    barcodes: tuple[EachText, ...] | None = Field(default=None, max_length=20)

    @model_validator(mode="after")
    def _fields_fit(self) -> RuleSpec:
        needed, allowed = _NEEDED[self.request], _ALLOWED[self.request]
        own = ("request", "when", "unless", "for_each", "request_id")
        said = [name for name in type(self).model_fields if name not in own and getattr(self, name) is not None]
        missing = [name for name in needed if name not in said]
        if missing:
            raise ValueError(f"{self.request} needs {', '.join(f'`{name}`' for name in missing)}")
        extra = [name for name in said if name not in (*needed, *allowed)]
        if extra:
            takes = ", ".join((*needed, *allowed))
            raise ValueError(f"{self.request} has no {', '.join(f'`{name}`' for name in extra)}; it takes {takes}")
        return self


class MappingSpec(Spec):
    """From records to requests."""

    group_by: tuple[FieldPath, ...] = Field(default=(), max_length=8)
    """Records that follow one another and are equal in these fields become one: the first one's fields, and `rows`
    with all of them. For files with a line for each order line."""
    request_id: Template = ""
    """What makes a request id of a record: unique and the same whenever the same is sent again. "" = of the message's
    content and the record's place in it, so that the same message twice is done once."""
    unmatched: Literal["refuse", "ignore"] = "refuse"
    """What becomes of a record that no rule is for."""
    rules: tuple[RuleSpec, ...] = Field(min_length=1, max_length=RULES_MAX)

    @model_validator(mode="after")
    def _special_names_are_known(self) -> MappingSpec:
        for text in (self.request_id, *(rule.request_id for rule in self.rules)):
            for part in parse_template(text):
                _check_special(part)
        return self

    def zones(self) -> list[tuple[tuple[str | int, ...], str]]:
        """Where zones are named, and which: whether this machine knows them is for whoever may ask it."""
        return [
            (("rules", number, "deadline", "zone"), rule.deadline.zone)
            for number, rule in enumerate(self.rules)
            if rule.deadline is not None and rule.deadline.zone
        ]


def _check_special(part: str | Way) -> None:
    if isinstance(part, Way) and part.keys[0] == "@previous":
        raise ValueError("{@previous} is a step's: it is known in `after` only")
