"""What a token of the identity provider says, once it is known to be from there."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import jwt
import msgspec

from gateway.host.access.issuer import ALGORITHMS, Issuer
from gateway.host.access.roles import ROLES, Role
from gateway.site.http import OidcSpec

TOKEN_LENGTH_MAX = 16_384
LEEWAY_S = 60
"""By so much the clocks may differ."""
SUBJECT_LENGTH_MAX = 255
"""OpenID Connect Core 1.0, section 2: `sub` has at most so many characters."""


class TokenRefused(Exception):
    """The token is not to be believed. The reason never has its content in it."""


class Claims(msgspec.Struct, frozen=True):
    """Who it is: `sub`, the name he goes by, his role if he has one, and until when that holds."""

    subject: str
    name: str
    role: Role | None
    expires_ns: int


async def believed(
    token: str, issuer: Issuer, spec: OidcSpec, audience: str, now_ns: int, *, nonce: str | None
) -> Claims:
    """The claims of `token`, which must be made out to `audience` (OpenID Connect Core 1.0, 3.1.3.7; RFC 9068, 4).

    `nonce`: the one that an ID token must carry; None for an access token, which carries none: an ID token is not taken
    in its place. Raises TokenRefused, IssuerDown.
    """
    if len(token) > TOKEN_LENGTH_MAX:
        raise TokenRefused(f"the token has more than {TOKEN_LENGTH_MAX} characters")
    payload = await _signed(token, issuer)
    if payload.get("iss") != spec.issuer:
        raise TokenRefused(f"the token is not from {spec.issuer}")
    _check_audience(payload, audience)
    expires_s = _check_times(payload, now_ns // 10**9)
    if nonce is not None:
        found = payload.get("nonce")
        if not isinstance(found, str) or not hmac.compare_digest(found.encode(), nonce.encode()):
            raise TokenRefused("the token belongs to another login")
    elif "nonce" in payload or payload.get("typ") == "ID":
        raise TokenRefused("an ID token is for the login alone: send an access token")
    subject = payload.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX:
        raise TokenRefused("the token does not say whose it is (`sub`)")
    name = payload.get(spec.name_claim)
    return Claims(
        subject, name if isinstance(name, str) and name else subject, role_of(payload, spec), expires_s * 10**9
    )


def role_of(payload: Mapping[str, Any], spec: OidcSpec) -> Role | None:
    """The highest role that the claim's values stand for; None where none does."""
    # A claim's name may have dots in it itself, as those that are URLs do.
    found: Any = payload.get(spec.role_claim)
    if found is None:
        found = payload
        for part in spec.role_claim.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    held = {spec.roles[value] for value in values if isinstance(value, str) and value in spec.roles}
    return next((role for role in reversed(ROLES) if role in held), None)


async def _signed(token: str, issuer: Issuer) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise TokenRefused("this is neither a key nor a token") from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenRefused("the token is not signed in a way that is taken here")
    if header.get("crit"):
        raise TokenRefused("the token asks for extensions that are not known here")
    key = await issuer.key(key_id if isinstance(key_id, str) else None, algorithm)
    if key is None:
        raise TokenRefused("the token is signed with a key that its issuer does not have")
    try:
        # Times, issuer and audience are looked at here, by the gateway's clock.
        only = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False, "verify_iss": False}
        return dict(jwt.decode(token, key, algorithms=[algorithm], options=only))  # type: ignore[arg-type]
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise TokenRefused("the token's signature is wrong") from error


def _check_audience(payload: Mapping[str, Any], audience: str) -> None:
    found = payload.get("aud")
    audiences = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    if audience not in audiences:
        raise TokenRefused(f"the token is not made out to {audience}")


def _check_times(payload: Mapping[str, Any], now_s: int) -> int:
    """Until when it holds, in seconds since the Unix epoch."""
    times: dict[str, int] = {}
    for name in ("exp", "nbf", "iat"):
        value = payload.get(name)
        if value is None and name != "exp":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**33:
            raise TokenRefused(f"the token's `{name}` is no time")
        times[name] = int(value)
    if now_s >= times["exp"] + LEEWAY_S:
        raise TokenRefused("the token has expired: get a new one")
    if max(times.get("nbf", 0), times.get("iat", 0)) > now_s + LEEWAY_S:
        raise TokenRefused("the token is from the future: compare the clocks of the gateway and the identity provider")
    return times["exp"]
