"""Which VDA 5050 a vehicle speaks, and what 3.0 calls otherwise than 2.x. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

_INSTANTS_3 = {"initPosition": "initializePosition"}
# The errors by which a 3.0 vehicle refuses what it was sent, in the words of 2.x that the records use. Whatever is not
# listed keeps its name: it is about the vehicle, not about a message of ours.
_REFUSALS_3 = {
    "VALIDATION_FAILURE": "validationError",
    "INVALID_ORDER": "orderError",
    "INVALID_ORDER_ACTION": "orderError",
    "UNSUPPORTED_PARAMETER": "orderError",
    "OTHER_ORDER_ACTIVE": "orderError",
    "MOBILE_ROBOT_NOT_AVAILABLE": "orderError",
    "UNKNOWN_MAP_ID": "orderError",
    "OUTDATED_ORDER_UPDATE": "orderUpdateError",
    "SAME_ORDER_UPDATE_ID": "orderUpdateError",
    "ORDER_UPDATE_FOLLOWING_CANCEL": "orderUpdateError",
    "START_NODE_OUT_OF_RANGE": "noRouteError",
    "NODE_UNREACHABLE": "noRouteError",
    "NO_ROUTE_TO_TARGET": "noRouteError",
    "NO_ORDER_TO_CANCEL": "noOrderToCancel",
}
SPOKEN = ((2, 0), (2, 1), (3, 0))


class ForeignVersionError(msgspec.ValidationError):
    """A message of another major version than the profile's: its fields mean something else, so it is not read."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the standard; `text` is what stands in the header, such as 2.1.0."""

    text: str
    major: int
    minor: int

    @staticmethod
    def of(text: str) -> Version:
        """Raises ValueError for a version that the driver does not speak."""
        parts = text.split(".")
        numbers = tuple(int(part) for part in parts[:2]) if all(part.isdecimal() for part in parts) else ()
        if numbers not in SPOKEN:
            known = ", ".join(f"{major}.{minor}" for major, minor in SPOKEN)
            raise ValueError(f"vda_version {text!r} is not spoken; the profile can ask for {known}")
        return Version(text, numbers[0], numbers[1])

    @property
    def is_3(self) -> bool:
        return self.major == 3

    def require_same_major(self, found: str) -> None:
        """Raises ForeignVersionError; a message that bears no version at all is given the benefit of the doubt."""
        if found and found != self.text and found.split(".")[0] != str(self.major):
            raise ForeignVersionError(
                f"vehicle speaks VDA 5050 {found[:20]}, its profile says {self.text}: "
                "give it the profile of its version, or change the vehicle's setting - at `$.version`"
            )

    def instant_kind(self, kind: str) -> str:
        """The wire's name of an instant action that the gateway knows by its name in 2.x."""
        return _INSTANTS_3.get(kind, kind) if self.is_3 else kind

    def error_type(self, wire_type: str) -> str:
        """Our word for an error type of the wire."""
        return _REFUSALS_3.get(wire_type, wire_type) if self.is_3 else wire_type
