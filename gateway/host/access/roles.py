"""Who asks, what that one may do, and how he is turned away."""

from __future__ import annotations

from typing import Literal

from gateway.contract import Struct

Role = Literal["viewer", "operator", "engineer", "admin"]
Kind = Literal["user", "key", "oidc", "anonymous"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "engineer", "admin")
"""Each covers the ones before it."""
_RANK: dict[str, int] = {role: rank for rank, role in enumerate(ROLES)}
ANONYMOUS_NAME = "anonymous"


class Principal(Struct, frozen=True):
    """Who asks. `name` is unique over users, keys and people of the identity provider: it is the `client` of kernel
    requests."""

    name: str
    kind: Kind
    role: Role


ANONYMOUS = Principal(ANONYMOUS_NAME, "anonymous", "viewer")


class Presented(Struct, frozen=True):
    """What came with a request. `session`: the cookie's value; `csrf`: the header X-CSRF-Token; `peer`: an address;
    `forwarded`: there is a Forwarded or X-Forwarded-* header that no trusted proxy explains."""

    authorization: str | None = None
    session: str | None = None
    csrf: str | None = None
    peer: str = ""
    forwarded: bool = False


class Refused(Struct, frozen=True):
    """An HTTP status and the reason with its way on. 401: log in; 403: not yours to do; 409, 422: as asked it can't be
    done; 429: ask again after `retry_after_s`; 503: who you are can't be told now."""

    status: int
    reason: str
    retry_after_s: float = 0


class AccessError(Exception):
    """A change of accounts or keys that can't be made; nothing was changed. `code` is a reply's code."""

    def __init__(self, code: Literal["unknown", "invalid", "conflict", "limit"], reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def covers(role: Role, needed: Role) -> bool:
    """Whether whoever has `role` may do what asks for `needed`. A role that does not exist covers nothing and is
    covered by none."""
    return role in _RANK and needed in _RANK and _RANK[role] >= _RANK[needed]


def permit(principal: Principal, needed: Role | None) -> Refused | None:
    """None when `principal` may go on. A route without a role (None) is for nobody: what was forgotten is closed."""
    if needed is None:
        return Refused(403, "nobody may do this: no role is laid down for it")
    if covers(principal.role, needed):
        return None
    if principal.kind == "anonymous":
        return Refused(401, f"this needs the role {needed}: log in, or send a key as `Authorization: Bearer swk_…`")
    return Refused(403, f"{principal.name} is {principal.role}, this needs the role {needed}: ask an admin for it")
