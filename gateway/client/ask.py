"""One request to the gateway as a value: what is sent, and what its answer is read as."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec

PREFIX = "/api/v1"
REASON_LENGTH_MAX = 500
READ = frozenset({200})
WRITTEN = frozenset({200, 201})
Queried = str | int | datetime | tuple[str, ...] | None
Version = int | str
"""An order's version, or the `etag` that a load, a device or an order came with."""

_KEY = re.compile(r"[!-~]{1,200}")
_TAG = re.compile(r'"[!#-~]{1,80}"|\*')
_encoder = msgspec.json.Encoder()
T_co = TypeVar("T_co", covariant=True)


class Record(msgspec.Struct, frozen=True):
    """What the gateway answers. Fields that a newer gateway has besides are passed over."""


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the gateway is sent."""


class Done(Record, frozen=True):
    """What was asked for is done and durable. `request_id` names the request for ever; `repeated`: it had been done
    before, and this is the answer of then."""

    request_id: str
    what: str
    id: str
    accepted: bool
    repeated: bool = False


@dataclass(frozen=True)
class Ask(Generic[T_co]):
    """A request. `key` is its idempotency key, "" for reads: the same Ask sent again is done once."""

    method: str
    path: str
    answer: type[T_co]
    query: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    key: str = ""
    statuses: frozenset[int] = READ

    @property
    def writes(self) -> bool:
        return bool(self.key)

    def at(self, cursor: str) -> Ask[T_co]:
        """The same list from another place on."""
        return replace(self, query={**self.query, "cursor": cursor})

    def read(self, body: bytes, headers: Mapping[str, str]) -> T_co:
        """The answer's record, with what its headers say. Raises msgspec.DecodeError."""
        found = msgspec.json.decode(body, type=self.answer)
        fields = getattr(found, "__struct_fields__", ())
        said: dict[str, Any] = {}
        if "etag" in fields and "etag" in headers:
            said["etag"] = headers["etag"]
        if "repeated" in fields and "idempotency-replayed" in headers:
            said["repeated"] = headers["idempotency-replayed"] == "true"
        if said and isinstance(found, msgspec.Struct):
            found = msgspec.structs.replace(found, **said)
        return found


def reads(path: str, answer: type[T_co], /, **query: Queried) -> Ask[T_co]:
    """A request that changes nothing. What is None, "" or () in `query` is left out."""
    said = {name: _text(value) for name, value in query.items() if value not in (None, "", ())}
    return Ask("GET", path, answer, query=said)


def writes(
    method: str,
    path: str,
    answer: type[T_co],
    body: Body | tuple[Body, ...] | None = None,
    *,
    key: str | None,
    version: Version | None = None,
    reason: str = "",
) -> Ask[T_co]:
    """A request that changes something. `reason` goes into X-Reason: where the body has one, leave it out here.

    Raises ValueError for a key, version or reason that no header can hold.
    """
    headers = {"Idempotency-Key": checked_key(key) if key is not None else f"py-{secrets.token_hex(16)}"}
    if version is not None:
        headers["If-Match"] = tag_of(version)
    if reason:
        if len(reason) > REASON_LENGTH_MAX or not all(" " <= c <= "~" for c in reason):
            raise ValueError(
                f"reason {reason[:40]!r} … travels in a header: up to {REASON_LENGTH_MAX} ASCII characters"
            )
        headers["X-Reason"] = reason
    data = b""
    if body is not None:
        data = _encoder.encode(body)
        headers["Content-Type"] = "application/json"
    return Ask(method, path, answer, headers=headers, body=data, key=headers["Idempotency-Key"], statuses=WRITTEN)


def path_of(*parts: str | int) -> str:
    """Path below the prefix, each part percent-encoded. Raises ValueError for an empty part.

    A part of dots alone would be taken for the way up by everything between here and the gateway.
    """
    encoded = []
    for part in map(str, parts):
        if not part:
            raise ValueError("an id must not be empty")
        encoded.append(part.replace(".", "%2E") if part in (".", "..") else quote(part, safe=""))
    return f"{PREFIX}/{'/'.join(encoded)}"


def checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"idempotency key {key[:40]!r} must have 1 to 200 visible ASCII characters")
    return key


def tag_of(version: Version) -> str:
    """What If-Match says. Raises ValueError where it is neither a version nor an etag."""
    if isinstance(version, int):
        if version < 1:
            raise ValueError(f"version {version} is none: an order's begin with 1")
        return f'"{version}"'
    if not _TAG.fullmatch(version):
        raise ValueError(f"{version[:40]!r} is no etag: hand in the record's `etag`, an order's version, or '*'")
    return version


def moment(at: datetime) -> datetime:
    """Raises ValueError for a time without an offset: it would be another one on every machine."""
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone: give it one, such as tzinfo=timezone.utc")
    return at


def _text(value: Queried) -> str | tuple[str, ...]:
    if isinstance(value, datetime):
        return moment(value).isoformat()
    return value if isinstance(value, tuple) else str(value)
