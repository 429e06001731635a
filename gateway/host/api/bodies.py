"""What people and hosts write to the API. Checked whole, all errors at once; what fits the site is for the kernel."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway.contract import CreateOrder, StepRequest
from gateway.host.access import Role
from gateway.host.api.moment import When, ns_of

ORDERS_MAX = 1_000
STEPS_MAX = 64
CODES_MAX = 16
DESTINATIONS_MAX = 5_000
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,47}$"

Name = Annotated[str, Field(min_length=1, max_length=64)]
"""An id of a load, a location, a device … as its host has given it."""
OrderName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^/]+$")]
Text = Annotated[str, Field(max_length=500)]
Secret = Annotated[str, Field(min_length=1, max_length=200, json_schema_extra={"format": "password"})]


class Body(BaseModel):
    """Strict: no number in quotation marks, no name that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Step(Body):
    """move: `load` to location `to` · sort: `load` to the sort-plan destination `to` · work: `skill` on `load` at `to`,
    a station or cell, or wherever it can be done where `to` is empty. `after`: steps before it in this order."""

    step: OrderName
    kind: Literal["move", "sort", "work"]
    load: Name
    to: Annotated[str, Field(max_length=64)] = ""
    skill: Annotated[str, Field(max_length=64)] = ""
    recipe: Annotated[str, Field(max_length=64)] = ""
    after: Annotated[list[OrderName], Field(max_length=STEPS_MAX)] = []

    def asked(self) -> StepRequest:
        return StepRequest(self.step, self.kind, self.load, self.to, self.skill, self.recipe, tuple(self.after))


Steps = Annotated[list[Step], Field(min_length=1, max_length=STEPS_MAX)]
Urgency = Annotated[int, Field(ge=1, le=5, description="1 is the most urgent.")]


class NewOrder(Body):
    """An order: a name of the host's own, and its steps."""

    order: OrderName
    steps: Steps
    priority: Urgency = 3
    deadline: When | None = None

    def asked(self) -> CreateOrder:
        deadline_ns = ns_of(self.deadline) if self.deadline is not None else None
        return CreateOrder(self.order, tuple(step.asked() for step in self.steps), self.priority, deadline_ns)


def _one_or_many(value: Any) -> str:
    return "many" if isinstance(value, list) else "one"


NewOrders = Annotated[
    Annotated[NewOrder, Tag("one")]
    | Annotated[list[NewOrder], Field(min_length=1, max_length=ORDERS_MAX), Tag("many")],
    Discriminator(_one_or_many),
]


class OrderChange(Body):
    """What is left out stays. `deadline` null takes the deadline away; `steps` only before the order is released."""

    priority: Urgency | None = None
    deadline: When | None = None
    steps: Steps | None = None


class Why(Body):
    """A reason, for the audit log and for whoever asks later."""

    reason: Text = ""


class LoadHere(Body):
    """Where the load stands, and what else is printed on it."""

    location: Name
    barcodes: Annotated[list[Annotated[str, Field(min_length=1, max_length=128)]], Field(max_length=CODES_MAX)] = []


class ModeWanted(Body):
    mode: Literal["automatic", "manual", "maintenance"]
    reason: Text = ""


class Reset(Body):
    """`zone` 0 is the whole device."""

    zone: Annotated[int, Field(ge=0, le=250)] = 0
    reason: Text = ""


class Decision(Body):
    """Whether the command has been carried out: look before you say so."""

    done: bool
    reason: Text = ""


class Shelving(Body):
    """Until when the alarm is kept off the list, 24 hours at most."""

    until: When
    reason: Text = ""


class AtStation(Body):
    station: Name


class HelpWanted(Body):
    text: Text = ""


class ByPerson(Body):
    person: Name


class Short(Body):
    """Fewer were there than were asked for: the step fails with this."""

    person: Name
    found: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    note: Text = ""


class Damaged(Body):
    """What is wrong with the goods: the step fails with this."""

    person: Name
    note: Text = ""


class NewAccount(Body):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@\-]*$")]
    password: Secret
    role: Role


class AccountChange(Body):
    """What is left out stays."""

    role: Role | None = None
    password: Secret | None = None
    disabled: bool | None = None


class NewKey(Body):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@\-]*$")]
    role: Role
    expires: When | None = None


class Renewal(Body):
    """The key before it is good for so many hours more, so that programs can be changed over."""

    overlap_h: Annotated[int, Field(ge=0, le=24 * 30)] = 24
    expires: When | None = None


class Login(Body):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    password: Secret


class Numbers(Body):
    numbers: Annotated[list[Annotated[int, Field(ge=0, lt=2**63)]], Field(min_length=1, max_length=1_000)]


class Destination(Body):
    """Lanes of one destination, best first."""

    sorter: Annotated[str, Field(pattern=ID_PATTERN)]
    lanes: Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=1, max_length=4)]


class PlanBody(Body):
    """A sort plan as in the YAML."""

    id: Annotated[str, Field(pattern=ID_PATTERN)]
    destinations: Annotated[
        dict[Annotated[str, Field(pattern=ID_PATTERN)], Destination], Field(max_length=DESTINATIONS_MAX)
    ]
