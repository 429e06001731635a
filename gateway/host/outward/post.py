"""One signed HTTP POST and what its answer means. Redirects are not followed, cookies not kept, proxies not asked."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import httpcore
import httpx
import msgspec

from gateway.site.outward import WebhookSpec

ANSWER_BYTES_MAX = 4_096
"""So much of an answer is read; a longer one costs its connection."""
REASON_LENGTH_MAX = 200
KEEP_ALIVE_S = 30.0
_AWAY = (429, 502, 503, 504)
_LATER = (408, 425)


class Verdict(msgspec.Struct, frozen=True):
    """`passed`: 2xx · `away`: nobody there, or asked to wait · `later`: a failure that may heal by itself · `refused`:
    one that will not."""

    kind: Literal["passed", "away", "later", "refused"]
    reason: str = ""
    retry_after_s: float = 0.0


PASSED = Verdict("passed")


class Post:
    """Keeps connections to one address. Raises OSError where `ca_file` can't be used.

    httpcore is what httpx stands on: a fifth less work a request, and none of what would have to be switched off again.
    """

    def __init__(self, spec: WebhookSpec) -> None:
        url = httpx.URL(spec.url)
        self._url = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        self._host = url.netloc
        self._timeout_s = spec.timeout_ms / 1000
        self._phases = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)}
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_context(spec.ca_file) if url.scheme == "https" else None,
            max_connections=spec.in_flight_max,
            max_keepalive_connections=spec.in_flight_max,
            keepalive_expiry=KEEP_ALIVE_S,
            http2=False,
            retries=0,
        )

    async def send(self, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Whatever happens on the way is a verdict. Takes no longer than the target's timeout."""
        sent = [
            (b"Host", self._host),
            (b"Content-Type", b"application/json"),
            (b"Content-Length", b"%d" % len(body)),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ]
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._pool.stream("POST", self._url, headers=sent, content=body, extensions=self._phases) as response,
            ):
                text = await _beginning(response)
        except (TimeoutError, httpcore.TimeoutException):
            return Verdict("later", f"no answer within {self._timeout_s:g} s")
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Verdict("away", _why(error))
        if response.status < 300:
            return judge(response.status, "", text)
        after = [value.decode("ascii", "replace") for name, value in response.headers if name.lower() == b"retry-after"]
        return judge(response.status, after[0] if after else "", text)

    async def close(self) -> None:
        await self._pool.aclose()


def judge(status: int, retry_after: str, text: str) -> Verdict:
    """What an answer means (RFC 9110, Standard Webhooks 1.0 "Delivery success and failure")."""
    if 200 <= status < 300:
        return PASSED
    reason = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    wait_s = _seconds(retry_after)
    if status in _AWAY:
        return Verdict("away", reason, wait_s)
    if status >= 500 or status in _LATER:
        return Verdict("later", reason, wait_s)
    if 300 <= status < 400:
        reason += " (redirects are not followed: correct `url`)"
    return Verdict("refused", reason, wait_s)


async def _beginning(response: httpcore.Response) -> str:
    """The first line of the answer's text, of no more than is good to read. The rest is not waited for."""
    found = b""
    async for piece in response.aiter_stream():
        found += piece
        if len(found) > ANSWER_BYTES_MAX:
            break
    text = found[:ANSWER_BYTES_MAX].decode("utf-8", "replace").strip()
    line = text.splitlines()[0] if text else ""
    return "".join(c if c.isprintable() else "?" for c in line[:REASON_LENGTH_MAX])


def _seconds(retry_after: str) -> float:
    """Seconds until the time that `Retry-After` names, 0 where it says nothing that can be understood."""
    value = retry_after.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _why(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message}): see `ca_file`, and this machine's clock"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
