"""One request on its way through the API: who asks, from where, why, and what came of it."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope

from gateway.contract import Reply, Struct
from gateway.contract import Request as Asked
from gateway.host.access import ANONYMOUS, AuditEntry, Principal, Refused
from gateway.host.api import strict_json
from gateway.host.api.parts import Parts
from gateway.host.api.problem import STATUS_BY_CODE, Refusal, of_reply

KEY_LENGTH_MAX = 200
REASON_LENGTH_MAX = 500
BODY_BYTES_MAX = 1024 * 1024
BODY_S_MAX = 10.0
_TAG = re.compile(r'"[!#-~]{1,80}"|\*')
ANSWER_S_MAX = 30.0
"""So long a request may wait for the disk; then its outcome is not known here, and may be asked for again."""


class Deed(Struct, frozen=True):
    """What a request has done, for the audit log. `what`: `cancel_order O1`."""

    what: str
    status: int
    detail: str = ""
    request_id: str = ""

    @property
    def outcome(self) -> str:
        return "accepted" if self.status < 400 else "failed" if self.status >= 500 else "refused"


class Call(Request):
    """What endpoints are handed. `what` names the deed in words of the contract; `instance` is the path as it may be
    shown."""

    def __init__(self, scope: Scope, receive: Receive, parts: Parts, what: str, instance: str) -> None:
        super().__init__(scope, receive)
        self.parts = parts
        self.what = what
        self.instance = instance
        self.principal: Principal = ANONYMOUS
        self.door: Principal | Refused = ANONYMOUS
        """What the door has said; where anybody may come in it may be a refusal, and `principal` is anonymous."""
        self.known = False
        """Somebody has been let in: `principal` says who."""
        self.told = ""
        """The deed with its object, where it is known before it is done."""
        self.noted = False
        """What was accepted is in the audit log already, together with what it has changed."""
        self.peer = ""
        self.forwarded = False
        self.key = ""
        self.key_given = False
        self.why = ""
        self.replayed = False
        self.deeds: list[Deed] = []
        self._document: Any = None

    def take_headers(self) -> None:
        """The idempotency key and the reason. Raises Refusal where one of them is none."""
        key = self.headers.get("idempotency-key")
        if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and all("!" <= c <= "~" for c in key)):
            raise Refusal("invalid", f"Idempotency-Key must have 1 to {KEY_LENGTH_MAX} visible ASCII characters")
        self.key_given = key is not None
        self.key = key or f"made-{secrets.token_hex(16)}"
        self.why = self.headers.get("x-reason", "")
        if len(self.why) > REASON_LENGTH_MAX or not all(" " <= c <= "~" for c in self.why):
            detail = (
                f"X-Reason must have up to {REASON_LENGTH_MAX} printable ASCII characters; a body's reason has others"
            )
            raise Refusal("invalid", detail)
        match = self.headers.get("if-match")
        if match is not None and _TAG.fullmatch(match) is None:
            raise Refusal("invalid", "If-Match takes one ETag as it was given, with its quotation marks, or *")

    async def read_body(self) -> bytes:
        """The whole body. Raises Refusal where it is too large, too slow, or broken off."""
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(BODY_S_MAX):
                    self._body = await self._whole()
            except TimeoutError:
                close = {"Connection": "close"}
                detail = f"the body was not there whole after {BODY_S_MAX:g} s"
                raise Refusal("timeout", detail, headers=close) from None
        return self._body

    async def _whole(self) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Refusal("timeout", "the connection was closed before the whole body was there")
            data: bytes = message.get("body", b"")
            size += len(data)
            if size > BODY_BYTES_MAX:
                raise too_large()
            if not message.get("more_body"):
                return b"".join((*parts, data)) if parts else data
            parts.append(data)

    async def read_document(self) -> None:
        """Take the JSON body in, for `json` to hand out. Raises Refusal."""
        data = await self.read_body()
        if not data:
            return
        kind = self.headers.get("content-type", "")
        media, _, charset = kind.partition(";")
        if media.strip().lower() != "application/json" or charset.strip().lower() not in ("", "charset=utf-8"):
            raise Refusal("media_type", f"Content-Type is {kind[:100]!r}, this takes application/json")
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal("media_type", "Content-Encoding: this takes bodies as they are, not compressed")
        self._document = strict_json.read(data)

    async def json(self) -> Any:
        return self._document

    def reason(self, said: str = "") -> str:
        """Why this is asked for: the body's reason, else the header's. It is audited."""
        self.why = said or self.why
        return self.why

    def did(self, what: str, status: int, detail: str = "", request_id: str = "") -> None:
        """Note for the audit log what came of it."""
        self.deeds.append(Deed(what, status, detail, request_id or self.key))

    def entry(self, deed: Deed) -> AuditEntry:
        """A line of the audit log."""
        who = self.principal
        return AuditEntry(
            who.name, deed.what, deed.outcome, self.parts.gate.now_ns(), kind=who.kind, role=who.role, peer=self.peer,
            method=self.method, path=self.instance, why=self.why, request_id=deed.request_id, status=deed.status,
            detail=deed.detail,
        )  # fmt: skip

    def accepted(self, what: str, status: int = 200) -> AuditEntry:
        """The line for something that is kept together with the line, or not at all."""
        self.noted, self.told = True, what
        return self.entry(Deed(what, status, request_id=self.key))

    def is_known(self, key: str) -> bool:
        """Whether the kernel has answered this key of this principal before."""
        return f"{self.principal.name}\n{key}" in self.parts.gate.kernel.state.answers

    async def ask(self, request: Asked, what: str, key: str = "") -> Reply:
        """Put a request to the kernel; the answer is durable. Raises Refusal only where there is none."""
        key = key or self.key
        self.replayed = self.is_known(key)
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                reply = await self.parts.gate.ask(self.principal.name, key, request)
        except TimeoutError:
            self.did(what, 503, "no answer in time: it may have been done", key)
            detail = f"no answer after {ANSWER_S_MAX:g} s: whether it is done is told when it is asked again"
            raise Refusal("unavailable", detail, headers={"Retry-After": "5"}) from None
        self.replayed = self.replayed and reply.code != "reused"
        self.did(what, 200 if reply.accepted else STATUS_BY_CODE[reply.code or "conflict"], reply.reason, key)
        return reply

    async def demand(self, request: Asked, what: str) -> None:
        """The same; raises Refusal with what the kernel says where it refuses."""
        reply = await self.ask(request, what)
        if not reply.accepted:
            raise of_reply(reply.code, reply.reason)


def too_large() -> Refusal:
    return Refusal("too_large", f"a body has up to {BODY_BYTES_MAX} bytes", headers={"Connection": "close"})
