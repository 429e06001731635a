"""The identity provider, as it is reached over HTTP: its addresses and its keys."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec

from gateway.site.http import OidcSpec, is_loopback

TIMEOUT_S = 5.0
BODY_BYTES_MAX = 1024 * 1024
KEYS_MAX = 100
KEYS_FRESH_S = 3_600.0
"""A key that the provider has withdrawn is believed no longer than this."""
KEYS_RETRY_S = 10.0
"""Tokens with unknown keys must not make us ask the provider more often."""
KEYS_OLD_S = 24 * 3_600.0
"""With the provider out of reach its last keys are used for so long."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with HS256 whoever knows the public key could sign, `none` is no signature (RFC 8725, 2.1)."""
_NO_AUTHORITY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_FAMILY = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class IssuerDown(Exception):
    """The provider can't be reached, or says what can't be used."""


class Metadata(msgspec.Struct, frozen=True):
    """What we need of OpenID Connect Discovery 1.0, section 3."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class _KeySet(msgspec.Struct, frozen=True):
    keys: Annotated[list[dict[str, Any]], msgspec.Meta(max_length=KEYS_MAX)]


class Issuer:
    """One provider. Keys are fetched when one is missing, and anew when they are an hour old."""

    def __init__(self, spec: OidcSpec, steady_s: Callable[[], float]) -> None:
        self._spec = spec
        self._steady_s = steady_s
        self._here = is_loopback(urlsplit(spec.issuer).hostname or "")
        self._tls: ssl.SSLContext | None = None
        self._metadata: Metadata | None = None
        self._keys: list[dict[str, Any]] = []
        self._fetched_s = float("-inf")
        self._tried_s = float("-inf")
        self._turn = asyncio.Lock()
        self.keys_changed = 0
        """Counts up when a key has gone or come: what was concluded with the old ones is void."""

    async def metadata(self) -> Metadata:
        """Raises IssuerDown."""
        if self._metadata is None:
            url = f"{self._spec.issuer.rstrip('/')}/.well-known/openid-configuration"
            found = _decoded(await self._body("GET", url), Metadata, url)
            if found.issuer != self._spec.issuer:
                raise IssuerDown(f"{url} is of issuer {found.issuer}: write `issuer` in the site exactly so")
            for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
                parts = urlsplit(address)
                if parts.scheme != "https" and not (self._here and is_loopback(parts.hostname or "")):
                    raise IssuerDown(f"{url} names {address}, which is not reached with TLS")
            self._metadata = found
        return self._metadata

    async def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """The key `key_id` for `algorithm`, one of ALGORITHMS; without an id the only one that suits. None where there
        is none. Raises IssuerDown."""
        await self.keep_fresh()
        if not self._suiting(key_id, algorithm):
            await self._refresh()
        found = self._suiting(key_id, algorithm)
        if len(found) != 1:
            return None
        try:
            return jwt.PyJWK(found[0], algorithm)
        except jwt.PyJWTError as error:
            raise IssuerDown(f"the key {key_id} of {self._spec.issuer} can't be used: {error}") from error

    async def keep_fresh(self) -> None:
        """Fetch the keys anew when they are an hour old. Raises IssuerDown when they can't be had for a day."""
        if self._steady_s() - self._fetched_s >= KEYS_FRESH_S:
            await self._refresh()

    async def exchange(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> bytes:
        """The answer of the token endpoint. Raises IssuerDown, CodeRefused."""
        address = (await self.metadata()).token_endpoint
        return await self._body("POST", address, data=dict(form), auth=basic)

    def _suiting(self, key_id: str | None, algorithm: str) -> list[dict[str, Any]]:
        return [
            key
            for key in self._keys
            if (key_id is None or key.get("kid") == key_id)
            and key.get("kty") == _FAMILY[algorithm[:2]]
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
        ]

    async def _refresh(self) -> None:
        """Fetch the keys, at most every KEYS_RETRY_S; whoever comes meanwhile waits for the same answer."""
        async with self._turn:
            now_s = self._steady_s()
            if now_s - self._tried_s >= KEYS_RETRY_S:
                self._tried_s = now_s
                await self._fetch(now_s)
            if now_s - self._fetched_s >= KEYS_OLD_S:
                raise IssuerDown(f"the keys of {self._spec.issuer} could not be fetched")

    async def _fetch(self, now_s: float) -> None:
        try:
            address = (await self.metadata()).jwks_uri
            keys = _decoded(await self._body("GET", address), _KeySet, address).keys
        except IssuerDown:
            if now_s - self._fetched_s >= KEYS_OLD_S:
                raise
            return  # the last ones are used on
        if keys != self._keys:
            self.keys_changed += 1
        self._keys = keys
        self._fetched_s = now_s

    async def _body(self, method: str, url: str, **more: Any) -> bytes:
        if self._tls is None:
            # Reading the system's authorities takes tens of milliseconds; on loopback none is trusted, nor needed.
            self._tls = await asyncio.to_thread(_tls_of, self._spec) if url.startswith("https:") else _NO_AUTHORITY
        # A proxy of the environment is for what is outside; redirects would carry the code to who knows whom.
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx.AsyncClient(verify=self._tls, timeout=TIMEOUT_S, trust_env=not self._here) as client,
                client.stream(method, url, headers={"Accept": "application/json"}, **more) as response,
            ):
                body = bytearray()
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > BODY_BYTES_MAX:
                        raise IssuerDown(f"{url} answers with more than {BODY_BYTES_MAX} bytes")
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            raise IssuerDown(f"{url} can't be reached: {error or type(error).__name__}") from error
        if response.status_code == 400 and method == "POST":
            raise CodeRefused(_error_of(bytes(body)))
        if response.status_code != 200:
            raise IssuerDown(f"{url} answers {response.status_code}: {_error_of(bytes(body))}")
        return bytes(body)


class CodeRefused(Exception):
    """The provider does not take the code: it was used before, is too old, or is not ours."""


def _error_of(body: bytes) -> str:
    """The provider's own word for what is wrong, RFC 6749, section 5.2."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "no reason given"
    text = f"{found.get('error', 'no reason given')} {found.get('error_description', '')}"
    return text.strip()[:200].encode("utf-8", "backslashreplace").decode()


def _decoded(body: bytes, kind: type[Any], url: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IssuerDown(f"{url} says what can't be read: {error}") from error


def _tls_of(spec: OidcSpec) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=spec.ca_file or None)
