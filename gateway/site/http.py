"""The HTTP API: where it listens, and who may come in."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from gateway.site.spec import Positive, Spec

RoleName = Literal["viewer", "operator", "engineer", "admin"]
Text = Annotated[str, Field(min_length=1, max_length=200)]
FilePath = Annotated[str, Field(min_length=1)]
PROXIES_MAX = 32
ORIGINS_MAX = 32
ROLES_MAX = 100


class HttpTls(Spec):
    """Files in PEM. `cert_file` holds the server's certificate and those between it and the authority."""

    cert_file: FilePath
    key_file: FilePath


class RateLimit(Spec):
    """A bucket that holds `burst` requests and is refilled with `per_s` of them a second."""

    per_s: Annotated[int, Field(ge=1, le=100_000)]
    burst: Annotated[int, Field(ge=1, le=1_000_000)]


class RateSpec(Spec):
    """How often one user, key or anonymous address may ask; `logins` counts per address of the peer."""

    reads: RateLimit = RateLimit(per_s=2_000, burst=4_000)
    writes: RateLimit = RateLimit(per_s=2_000, burst=4_000)
    logins: RateLimit = RateLimit(per_s=1, burst=20)


class SessionSpec(Spec):
    """How long a login in a browser lasts: at most `hours_max` in all, and `idle_min_max` minutes without a request."""

    hours_max: Annotated[int, Field(ge=1, le=24 * 30)] = 12
    idle_min_max: Annotated[int, Field(ge=1, le=24 * 60 * 30)] = 60


class OidcSpec(Spec):
    """Logins of the company's own identity provider (OpenID Connect Core 1.0, authorization code with PKCE)."""

    issuer: Annotated[str, Field(pattern=r"^https?://[^?#\s]+$")]
    """Exactly as the provider's discovery document and tokens have it."""
    client_id: Text
    client_secret_file: str = ""
    """File with the client's secret; without it the client is a public one, and PKCE alone protects the code."""
    ca_file: str = ""
    """Authorities (PEM) that the provider's certificate is checked with, in place of those of the system."""
    scopes: Annotated[tuple[Text, ...], Field(max_length=20)] = ("openid", "profile")
    audience: str = ""
    """What access tokens for the API must be made out to; `client_id` where it is not said."""
    name_claim: Text = "preferred_username"
    """The claim that people are shown and audited by. Who somebody is, is told by `sub` alone."""
    role_claim: Text = "roles"
    """The claim with a text or a list of texts; dots lead into objects, as in `realm_access.roles`."""
    roles: Annotated[dict[Text, RoleName], Field(min_length=1, max_length=ROLES_MAX)]
    """Value of the claim → role. Whoever has none of the values may not come in."""

    @model_validator(mode="after")
    def _is_sound(self) -> OidcSpec:
        if "openid" not in self.scopes:
            raise ValueError("`scopes` must have `openid` in it: without it there is no identity")
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ValueError(f"issuer {self.issuer} is reached without TLS: its address must begin with https://")
        return self


class HttpSpec(Spec):
    """Where the API and the live view are offered, and to whom."""

    host: Text = "127.0.0.1"
    """A name or address of this machine; 0.0.0.0 or :: for all of them."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """0: one that is free; the log says which."""
    tls: Literal["waived"] | HttpTls | None = None
    """Must be said beyond loopback: `waived` leaves it to a proxy in front, or to nobody."""
    public_url: Annotated[str, Field(pattern=r"^(https?://[^/?#\s]+)?$")] = ""
    """How browsers reach the gateway, where it is not `host` and `port`: `https://stellwerk.example`, no path."""
    anonymous_read: bool = True
    """Whoever is on this very machine may look on without a login. Nobody else ever may."""
    proxies: Annotated[tuple[str, ...], Field(max_length=PROXIES_MAX)] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded-For is believed."""
    cors: Annotated[tuple[str, ...], Field(max_length=ORIGINS_MAX)] = ()
    """Other origins whose pages may use the API with a key: `https://wms.example`."""
    rate: RateSpec = RateSpec()
    session: SessionSpec = SessionSpec()
    oidc: OidcSpec | None = None
    audit_entries_max: Annotated[int, Field(ge=10_000)] = 2_000_000
    """Beyond it the oldest entries of the audit log make room."""
    link_minutes_max: Annotated[Positive, Field(le=24 * 60)] = 60
    """How long the link for the first account is good for."""

    @field_validator("proxies")
    @classmethod
    def _proxies_are_addresses(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError as error:
                raise ValueError(f"proxy {proxy!r} is no address or network such as 10.1.2.3 or 10.1.2.0/24") from error
        return proxies

    @field_validator("cors")
    @classmethod
    def _origins_are_named(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            parts = urlsplit(origin)
            whole = f"{parts.scheme}://{parts.netloc}"
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or origin != whole
                or set("*@") & set(origin)
            ):
                raise ValueError(f"origin {origin!r} is none: name each as https://wms.example, without a path or *")
        return origins

    @model_validator(mode="after")
    def _network_needs_tls(self) -> HttpSpec:
        if self.tls is None and not is_loopback(self.host):
            raise ValueError(
                f"the API on {self.host} is reached over the network without TLS: give "
                "`tls: {cert_file: …, key_file: …}`, or waive it with `tls: waived`"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
