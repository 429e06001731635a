"""Retries, apart from any wire: what is tried again, how long is waited, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import msgspec
import pytest

from gateway.client import ClientError, NotReached, Refused, Retries, Unexpected
from gateway.client.ask import Ask, Done, path_of, reads, tag_of, writes
from gateway.client.exchange import Answer, Failure, converse, failure_of
from gateway.client.orders import NewOrder, Orders, Step
from gateway.client.place import Place
from gateway.client.status import About

URL = "http://gateway.test"
NO_LINE, CUT = Failure("refused", arrived=False), Failure("cut off", arrived=True)
DONE = Answer(200, {}, b'{"request_id":"k","what":"w","id":"i","accepted":true,"new":1}')
WRITE = writes("POST", "/api/v1/x", Done, key="k")
READ = reads("/api/v1/about", About)


def problem(status: int, code: str, **headers: str) -> Answer:
    body = {"status": status, "code": code, "detail": "no", "next": "look", "title": "t", "later": True}
    kind = {"content-type": "application/problem+json"}
    return Answer(
        status, kind | {name.replace("_", "-"): text for name, text in headers.items()}, msgspec.json.encode(body)
    )


def page(status: int) -> Answer:
    return Answer(status, {"content-type": "text/html"}, b"<h1>bad gateway</h1>")


class Talk:
    """A call against a list of outcomes; its clock goes on by what is waited."""

    def __init__(self, ask: Ask[Any], outcomes: list[Answer | Failure], retries: Retries = Retries()) -> None:
        self.waits: list[float] = []
        self.now_s = 0.0
        self.found: Any = None
        talk = converse(ask, URL, retries, lambda: self.now_s)
        wait_s = next(talk)
        try:
            for outcome in outcomes:
                self.waits.append(wait_s)
                self.now_s += wait_s
                wait_s = talk.send(outcome)
        except StopIteration as end:
            self.found = end.value
        except ClientError as error:
            self.found = error
        else:
            pytest.fail(f"it goes on after {len(outcomes)} tries, waiting {wait_s} s")


def test_an_answer_is_read_at_once_and_unknown_fields_are_passed_over() -> None:
    talk = Talk(WRITE, [DONE])
    assert talk.found == Done("k", "w", "i", True)
    assert talk.waits == [0.0]


@pytest.mark.parametrize(
    "outcome", [NO_LINE, CUT, problem(503, "unavailable"), problem(429, "limit"), page(502), page(504)]
)
@pytest.mark.parametrize("ask", [WRITE, READ])
def test_what_nobody_has_decided_is_asked_again(ask: Ask[Any], outcome: Answer | Failure) -> None:
    good = DONE if ask is WRITE else Answer(200, {}, msgspec.json.encode(About("s", "1", None, 1, None, 1)))
    talk = Talk(ask, [outcome, outcome, good])
    assert isinstance(talk.found, ask.answer)
    assert talk.waits[0] == 0.0
    assert 0.1 <= talk.waits[1] <= 0.2
    assert 0.2 <= talk.waits[2] <= 0.4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 422, 500])
def test_what_is_decided_is_told_at_once(status: int) -> None:
    talk = Talk(WRITE, [problem(status, "some")])
    assert isinstance(talk.found, Refused)
    assert (talk.found.status, talk.found.code, talk.found.next, talk.found.key) == (status, "some", "look", "k")
    assert not talk.found.may_be_done


def test_tries_end_and_the_last_reason_is_told() -> None:
    talk = Talk(WRITE, [NO_LINE] * 3, Retries(tries_max=3))
    assert isinstance(talk.found, NotReached)
    assert not talk.found.may_be_done
    assert "refused" in str(talk.found)
    assert isinstance(Talk(WRITE, [NO_LINE, problem(503, "unavailable")], Retries(tries_max=2)).found, Refused)
    assert isinstance(Talk(READ, [page(502)], Retries(tries_max=1)).found, NotReached)


@pytest.mark.parametrize(
    ("outcomes", "unsure"),
    [
        ([NO_LINE, NO_LINE], False),
        ([CUT, NO_LINE], True),
        ([NO_LINE, problem(429, "limit")], False),
        ([CUT, problem(429, "limit")], True),
        ([problem(503, "unavailable")] * 2, True),
        ([CUT, problem(401, "unauthorized")], True),
        ([CUT, problem(409, "conflict")], False),
    ],
)
def test_whether_it_may_be_done_is_told(outcomes: list[Answer | Failure], unsure: bool) -> None:
    retries = Retries(tries_max=2)
    assert Talk(WRITE, outcomes, retries).found.may_be_done is unsure
    # A read is never anything that could be done twice.
    assert Talk(READ, outcomes, retries).found.may_be_done is False


def test_retry_after_is_heeded_as_seconds_and_as_a_date() -> None:
    assert Talk(WRITE, [problem(429, "limit", retry_after="7"), DONE]).waits[1] == 7.0
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True)
    assert 7.0 < Talk(WRITE, [problem(503, "unavailable", retry_after=later), DONE]).waits[1] <= 9.0
    for nonsense in ("soon", "-3", "1e9", "Wed, 99 Nov 2026", "²"):
        assert Talk(WRITE, [problem(429, "limit", retry_after=nonsense), DONE]).waits[1] <= 0.2


def test_no_wait_is_begun_that_would_be_too_long() -> None:
    talk = Talk(WRITE, [problem(429, "limit", retry_after="3600")])
    assert isinstance(talk.found, Refused)
    assert talk.found.retry_after_s == 3600
    slow = Talk(WRITE, [problem(429, "limit", retry_after="25")] * 3)
    assert isinstance(slow.found, Refused)
    assert math.fsum(slow.waits) == 50.0


def test_waits_double_up_to_a_limit() -> None:
    talk = Talk(WRITE, [NO_LINE] * 9 + [DONE], Retries(10, first_s=1.0, wait_s_max=4.0, total_s_max=100.0))
    for wait_s, longest_s in zip(talk.waits, (0, 1, 2, 4, 4, 4, 4, 4, 4, 4), strict=True):
        assert longest_s / 2 <= wait_s <= longest_s


@pytest.mark.parametrize(
    "answer",
    [
        page(200),
        Answer(200, {}, b'{"request_id":1}'),
        Answer(200, {}, b"\xff"),
        page(404),
        Answer(302, {"location": "https://elsewhere"}, b""),
        Answer(400, {"content-type": "application/problem+json"}, b"{}"),
    ],
)
def test_whoever_does_not_speak_the_api_is_unexpected(answer: Answer) -> None:
    found = Talk(WRITE, [answer]).found
    assert isinstance(found, Unexpected)
    assert found.status == answer.status


def test_a_certificate_that_is_not_trusted_is_not_asked_again() -> None:
    talk = Talk(WRITE, [Failure("its certificate is not trusted", False, lasting=True)])
    assert isinstance(talk.found, NotReached)


@pytest.mark.parametrize(
    ("error", "arrived"),
    [
        (httpx.ConnectError("x"), False),
        (httpx.ConnectTimeout("x"), False),
        (httpx.PoolTimeout("x"), False),
        (httpx.ReadTimeout("x"), True),
        (httpx.ReadError("x"), True),
        (httpx.WriteError("x"), True),
        (httpx.RemoteProtocolError(""), True),
    ],
)
def test_what_may_have_arrived_is_told_apart(error: httpx.TransportError, arrived: bool) -> None:
    failure = failure_of(error)
    assert failure.arrived is arrived
    assert failure.reason


# --- what is sent ---


def test_a_write_has_a_key_of_its_own_and_a_read_has_none() -> None:
    asks = [writes("POST", "/x", Done, key=None) for _ in range(2)]
    assert asks[0].key != asks[1].key
    assert asks[0].headers["Idempotency-Key"] == asks[0].key
    assert READ.key == ""
    assert "Idempotency-Key" not in READ.headers


def test_ids_are_encoded_and_dots_alone_lead_nowhere_else() -> None:
    assert path_of("loads", "C1/7 ä") == "/api/v1/loads/C1%2F7%20%C3%A4"
    assert path_of("loads", "..") == "/api/v1/loads/%2E%2E"
    assert (
        httpx.Client(base_url=URL).build_request("GET", path_of("loads", "..")).url.raw_path == b"/api/v1/loads/%2E%2E"
    )
    with pytest.raises(ValueError, match="empty"):
        path_of("orders", "")


def test_versions_and_etags_are_told_as_if_match_has_them() -> None:
    assert tag_of(3) == '"3"'
    assert tag_of('"3-9f0c"') == '"3-9f0c"'
    assert tag_of("*") == "*"
    for wrong in (0, -1, "3", '"a b"', ""):
        with pytest.raises(ValueError, match=r"version|etag"):
            tag_of(wrong)


def described(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Ask[Any]:
    ask: Ask[Any] = call.describe(None, *args, **kwargs)  # type: ignore[attr-defined]
    return ask


def test_only_what_is_to_change_is_sent() -> None:
    at = datetime(2027, 1, 1, 8, tzinfo=UTC)
    assert described(Orders.change, "O1", priority=1).body == b'{"priority":1}'
    assert described(Orders.change, "O1", no_deadline=True).body == b'{"deadline":null}'
    assert described(Orders.change, "O1", deadline=at).body == b'{"deadline":"2027-01-01T08:00:00Z"}'
    assert described(Orders.hold, "O1", version=4).headers["If-Match"] == '"4"'


def test_what_no_header_or_body_can_hold_is_refused_before_it_is_sent() -> None:
    step = Step("a", "move", "L1", "RACK-1")
    for wrong in (
        lambda: described(Orders.create, "O1", [step], reason="für Eva"),
        lambda: described(Orders.create, "O1", [step], key="two words"),
        lambda: described(Orders.create, "O1", [step], deadline=datetime(2027, 1, 1)),
        lambda: described(Orders.change, "O1", deadline=datetime(2027, 1, 1, tzinfo=UTC), no_deadline=True),
        lambda: described(Orders.reconcile, ended_since=datetime(2027, 1, 1)),
        lambda: described(Orders.create_many, []),
        lambda: described(Orders.create_many, [NewOrder("O", (step,))] * 1_001),
    ):
        with pytest.raises(ValueError, match=r"ASCII|zone|orders: 1 to 1000|at once"):
            wrong()


@pytest.mark.parametrize(
    "options",
    [
        {"url": "gateway:8080"},
        {"url": "ftp://gateway"},
        {"url": "http://host:99999"},
        {"url": "http://eva:pw@127.0.0.1"},
        {"url": "http://127.0.0.1", "key": "swk_1\nswk_2"},
        {"url": "http://10.1.2.3:8080", "key": "swk_1"},
        {"url": "http://gateway.example", "key": "swk_1"},
    ],
)
def test_an_address_that_can_not_be_right_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"address|key") as caught:
        Place(**options)  # type: ignore[arg-type]
    assert "swk_" not in str(caught.value).replace("swk_…", "")


def test_a_key_goes_in_clear_only_where_it_is_waived_and_is_not_shown() -> None:
    place = Place("http://10.1.2.3:8080", "swk_secret", tls="waived")
    assert place.headers["Authorization"] == "Bearer swk_secret"
    assert "secret" not in repr(place)
    assert Place("https://10.1.2.3", "swk_1").context() is not None
    with pytest.raises(ValueError, match="ca_file"):
        Place("https://10.1.2.3", ca_file="/nowhere.pem").context()
