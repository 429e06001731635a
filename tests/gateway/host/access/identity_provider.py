"""An OpenID Connect provider, small but real: discovery, authorization code with PKCE, ID and access tokens, JWKS."""

from __future__ import annotations

import base64
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode

import jwt
import uvicorn
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "stellwerk gateway", "a secret: with / and + and blanks"
HOUR_S = 3_600


class IdentityProvider:
    """`person`: the claims of whoever sits at the browser. `more`: claims that overwrite those of the ID token."""

    def __init__(self, now_s: Callable[[], int], keys: tuple[Any, Any], url: str) -> None:
        self.now_s = now_s
        self.url = url
        self.person: dict[str, Any] = {"sub": "4711", "preferred_username": "anna", "roles": ["plant-engineers", "x"]}
        self.more: dict[str, Any] = {}
        self.is_down = False
        self.asked_for_keys = 0
        self.said_issuer: str | None = None
        self.auth_method = "client_secret_basic"
        self.token_answer: Response | None = None
        self._keys = {"k1": keys[0], "k2": keys[1]}
        self._published = ["k1"]
        self._codes: dict[str, dict[str, str]] = {}
        self.app = self._made()

    def rotate(self) -> None:
        """Sign with the second key from now on; the first one is withdrawn."""
        self._published = ["k2"]

    def sign(self, claims: dict[str, Any], *, kid: str | None = None, headers: dict[str, Any] | None = None) -> str:
        kid = kid or self._published[0]
        return jwt.encode(claims, self._keys[kid], "RS256", headers={"kid": kid, **(headers or {})})

    def access_token(self, **changed: Any) -> str:
        """An access token for whoever sits at the browser; a claim that is None is left out."""
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": self.now_s(), "exp": self.now_s() + HOUR_S, **self.person, **changed,
        }  # fmt: skip
        return self.sign({name: value for name, value in claims.items() if value is not None})

    def public_key_pem(self) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        key = self._keys[self._published[0]].public_key()
        return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    # --- what is served ---

    def _made(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._jwks),
            ]
        )

    async def _discovery(self, _: Request) -> Response:
        if self.is_down:
            return Response("maintenance", 503)
        return JSONResponse(
            {
                "issuer": self.said_issuer or self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "response_types_supported": ["code"],
                "token_endpoint_auth_methods_supported": [self.auth_method],
            }
        )

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}", 302)

    async def _token(self, request: Request) -> Response:
        if self.token_answer is not None:
            return self.token_answer
        form = dict(parse_qsl((await request.body()).decode(), strict_parsing=True))
        if not self._is_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self._codes.pop(form["code"], None)
        challenge = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or asked["redirect_uri"] != form["redirect_uri"] or asked["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant", "error_description": "code is used or not yours"}, 400)
        now_s = self.now_s()
        claims = {
            "iss": self.url, "aud": CLIENT, "iat": now_s, "exp": now_s + 300, "nonce": asked["nonce"], **self.person,
            **self.more,
        }  # fmt: skip
        id_token = self.sign({name: value for name, value in claims.items() if value is not None})
        return JSONResponse({"access_token": self.access_token(), "token_type": "Bearer", "id_token": id_token})

    def _is_client(self, request: Request, form: dict[str, str]) -> bool:
        if self.auth_method == "client_secret_basic":
            scheme, _, raw = request.headers.get("authorization", "").partition(" ")
            name, _, secret = base64.b64decode(raw).decode().partition(":")
            return scheme == "Basic" and (unquote_plus(name), unquote_plus(secret)) == (CLIENT, SECRET)
        if self.auth_method == "client_secret_post":
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        return form.get("client_id") == CLIENT and "client_secret" not in form

    async def _jwks(self, _: Request) -> Response:
        self.asked_for_keys += 1
        if self.is_down:
            return Response("maintenance", 503)
        keys = []
        for kid in self._published:
            key = RSAAlgorithm.to_jwk(self._keys[kid].public_key(), as_dict=True)
            keys.append({**key, "kid": kid, "use": "sig"})
        return JSONResponse({"keys": keys})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are pytest's."""
        yield


class Desk:
    """Where whichever provider is `here` is served: a server of its own thread, on a free port of loopback."""

    def __init__(self) -> None:
        self.here: IdentityProvider | None = None
        config = uvicorn.Config(
            self._serve, "127.0.0.1", 0, lifespan="off", log_level="error", ws="none", interface="asgi3"
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, name="identity provider")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"

    def __enter__(self) -> Desk:
        self._thread.start()
        assert self._server.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.here is not None
        await self.here.app(scope, receive, send)
