"""Fields of a shop's JSON: taken with their type checked, and the place named where it is wrong."""

from __future__ import annotations

from typing import Any

from gateway.host.formats.record import Limits, Record, Unreadable

WAY_ON = "send the shop's webhook as it comes"


class Fields:
    """One JSON object of a shop's message. Absent and null are the same: shops write both."""

    def __init__(self, found: object, place: str) -> None:
        if not isinstance(found, dict):
            raise Unreadable(place, f"a {type(found).__name__}, not an object", WAY_ON, "value")
        self._found: dict[str, Any] = found
        self.place = place

    def text(self, name: str) -> str:
        """Text; a number becomes its digits (ids are numbers in some versions and text in others)."""
        value = self._found.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self._wrong(name, value, "text")
        return str(value).strip()

    def ident(self, name: str) -> str:
        """An id that must be there."""
        value = self.text(name)
        if not value:
            raise Unreadable(f"{self.place}.{name}", "missing", WAY_ON, "missing")
        return value

    def whole(self, name: str) -> int | None:
        value = self._found.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(name, value, "a whole number")
        return value

    def number(self, name: str) -> int | float | None:
        value = self._found.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(name, value, "a number")
        return int(value) if isinstance(value, float) and value.is_integer() else value

    def truth(self, name: str, otherwise: bool = False) -> bool:
        value = self._found.get(name)
        if value is None:
            return otherwise
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def child(self, name: str) -> Fields:
        """An object, empty where there is none."""
        value = self._found.get(name)
        # PHP writes an empty map as an empty list.
        return Fields({} if value is None or value == [] else value, f"{self.place}.{name}")

    def children(self, name: str, limits: Limits) -> list[Fields]:
        value = self._found.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        if len(value) > limits.lines_max:
            problem = f"{len(value)} entries, at most {limits.lines_max}"
            raise Unreadable(f"{self.place}.{name}", problem, "split the order")
        return [Fields(entry, f"{self.place}.{name}[{number}]") for number, entry in enumerate(value)]

    def only(self, *names: str) -> bool:
        """There is nothing but these."""
        return set(self._found) == set(names)

    def pairs(self, name: str, key: str, limits: Limits) -> Record:
        """A list of objects with a key and a value as a dict; values that are no plain text or number are left out."""
        found: Record = {}
        for entry in self.children(name, limits):
            value = entry.plain("value")
            label = entry.text(key)
            if label and value is not None:
                found.setdefault(label, value)
        return found

    def plain(self, name: str) -> str | int | float | bool | None:
        value = self._found.get(name)
        return value if isinstance(value, str | int | float | bool) else None

    def _wrong(self, name: str, value: object, wanted: str) -> Unreadable:
        shown = repr(value)[:60]
        return Unreadable(f"{self.place}.{name}", f"{shown} is not {wanted}", WAY_ON, "value")


def address(fields: Fields, street: tuple[str, str], country: str, region: str, postcode: str) -> Record:
    """An address, by the shop's names for its parts. E-mail addresses and telephone numbers are not read."""
    given = " ".join(filter(None, (fields.text("first_name"), fields.text("last_name"))))
    return {
        "name": given,
        "company": fields.text("company"),
        "street": ", ".join(filter(None, (fields.text(part) for part in street))),
        "city": fields.text("city"),
        "region": fields.text(region),
        "postcode": fields.text(postcode),
        "country": fields.text(country).upper(),
    }
