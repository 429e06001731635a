"""Who may do what over the host interface: users, keys, the identity provider, sessions, rates, the audit log."""

from gateway.host.access.access import Access
from gateway.host.access.accounts import Account, Accounts
from gateway.host.access.audit import Audit, AuditEntry, Break
from gateway.host.access.keys import ApiKey, Keys
from gateway.host.access.oidc import Oidc, Started
from gateway.host.access.passwords import TooManyHashes
from gateway.host.access.roles import (
    ANONYMOUS,
    ROLES,
    AccessError,
    Kind,
    Presented,
    Principal,
    Refused,
    Role,
    covers,
    permit,
)
from gateway.host.access.sessions import COOKIE, STATE_COOKIE, Session, cookie

__all__ = [
    "ANONYMOUS",
    "COOKIE",
    "ROLES",
    "STATE_COOKIE",
    "Access",
    "AccessError",
    "Account",
    "Accounts",
    "ApiKey",
    "Audit",
    "AuditEntry",
    "Break",
    "Keys",
    "Kind",
    "Oidc",
    "Presented",
    "Principal",
    "Refused",
    "Role",
    "Session",
    "Started",
    "TooManyHashes",
    "cookie",
    "covers",
    "permit",
]
