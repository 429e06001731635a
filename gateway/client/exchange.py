"""One call with its retries, apart from any wire: so that both clients behave the same."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import msgspec

from gateway.client.ask import Ask
from gateway.client.errors import ClientError, NotReached, Problem, Refused, Unexpected
from gateway.client.place import Retries

AGAIN = frozenset({408, 429, 502, 503, 504})
"""Nobody has decided: the same may be asked again, a write with its key."""
DECIDED = frozenset({404, 409, 412, 422})
"""What the gateway says about the request itself: an earlier try of it was not done."""
TEXT_SHOWN_MAX = 200
BYTES_MAX = 64 * 1024 * 1024
"""Of an answer: a page of 500 orders with 64 steps each has a fourth of it."""
T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True)
class Failure:
    """No answer. `arrived`: the request may have reached the gateway. `lasting`: trying again is of no use."""

    reason: str
    arrived: bool
    lasting: bool = False


def failure_of(error: httpx.TransportError) -> Failure:
    """What a broken exchange means."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            way_on = "hand in `ca_file`, the authority that has signed it, and use the name that it was made for"
            return Failure(f"its certificate is not trusted ({cause.verify_message}): {way_on}", False, lasting=True)
        cause = cause.__cause__ or cause.__context__
    before = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return Failure(str(error) or type(error).__name__, arrived=not before)


def too_long() -> Failure:
    return Failure(f"its answer has more than {BYTES_MAX} bytes: ask for smaller pages", arrived=True, lasting=True)


def converse(
    ask: Ask[T], url: str, retries: Retries, clock_s: Callable[[], float]
) -> Generator[float, Answer | Failure, T]:
    """Yields how long to wait before the next try, is sent what came of it, and returns the answer's record.

    Raises Refused, NotReached or Unexpected.
    """
    began_s, wait_s, arrived = clock_s(), 0.0, False
    for number in range(1, retries.tries_max + 1):
        outcome = yield wait_s
        if isinstance(outcome, Failure):
            arrived |= outcome.arrived and ask.writes
            error: ClientError = NotReached(f"{url} is not reached: {outcome.reason}", key=ask.key, may_be_done=arrived)
            least_s, again = 0.0, not outcome.lasting
        elif outcome.status in ask.statuses:
            return _read(ask, outcome, url)
        else:
            again = outcome.status in AGAIN
            arrived |= again and outcome.status != 429 and ask.writes
            least_s = _retry_after_s(outcome)
            error = _error_of(ask, outcome, url, arrived=arrived)
        wait_s = max(least_s, pause_s(retries, number))
        if not again or number == retries.tries_max or clock_s() - began_s + wait_s > retries.total_s_max:
            raise error
    raise AssertionError("the last try has raised")


def _read(ask: Ask[T], answer: Answer, url: str) -> T:
    try:
        return ask.read(answer.body, answer.headers)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = f"{url}{ask.path} has answered {answer.status} with something else than {ask.answer.__name__} ({error})"
        way_on = "is it a gateway, and of the version of this client?"
        raise Unexpected(f"{text}: {way_on}", status=answer.status, key=ask.key, may_be_done=ask.writes) from error


def _error_of(ask: Ask[T], answer: Answer, url: str, *, arrived: bool) -> ClientError:
    problem = problem_of(answer.headers, answer.body)
    if problem is not None:
        unsure = arrived and answer.status not in DECIDED
        return Refused(problem, retry_after_s=_retry_after_s(answer), key=ask.key, may_be_done=unsure)
    said = answer.body[:TEXT_SHOWN_MAX].decode("utf-8", "replace")
    text = f"{url} answers {answer.status} {said!r}"
    if answer.status in AGAIN:
        return NotReached(f"{text}: a proxy before the gateway does not reach it", key=ask.key, may_be_done=arrived)
    if 300 <= answer.status < 400:
        text += f", a redirect to {answer.headers.get('location', '')[:TEXT_SHOWN_MAX]!r}"
    way_on = "that is no gateway: look at the address"
    return Unexpected(f"{text}: {way_on}", status=answer.status, key=ask.key, may_be_done=arrived)


def problem_of(headers: Mapping[str, str], body: bytes) -> Problem | None:
    """The gateway's own refusal, None where it is somebody else's."""
    if headers.get("content-type", "").partition(";")[0].strip() != "application/problem+json":
        return None
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _retry_after_s(answer: Answer) -> float:
    """Seconds, or a date (RFC 9110, 10.2.3); 0 where there is none that can be read."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()) if said else 0.0
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return 0.0


def pause_s(retries: Retries, number: int) -> float:
    """How long to wait after try `number` (1, 2 …)."""
    longest_s = min(retries.wait_s_max, retries.first_s * 2 ** min(number - 1, 30))
    return float(longest_s * random.uniform(0.5, 1.0))
