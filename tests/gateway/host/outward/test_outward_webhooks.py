"""Webhooks over real HTTP: order, failures of every kind, signatures, secrets, dead letters, TLS, bounds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from outward_rig import OK, OTHER_SECRET, SECRET, Answer, Arrived, Host, House, Kernelspeak, at_work, figures_of, order

from gateway.host.outward import post, webhook
from gateway.host.outward.post import judge
from gateway.host.outward.signature import NoSecret, read_secrets, sign


async def test_many_orders_at_a_time_each_in_its_order(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host, in_flight_max=4)])
    for version in range(1, 31):
        kernel.say(outward, *(order(f"O{number}", version) for number in range(20)))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 600)
    assert all(host.versions(f"O{number}") == list(range(1, 31)) for number in range(20))
    assert host.connections <= 4  # kept alive
    assert len(host.requests) == 600
    assert all(request.is_signed_by(SECRET) for request in host.requests)
    assert all(r.headers["webhook-id"] == r.events[0]["id"] for r in host.requests)


async def test_lists_hold_each_order_in_its_order(house: House, host: Host, kernel: Kernelspeak, wait: Any) -> None:
    outward = await house.open(webhooks=[house.hook(host, batch_max=50)])
    for version in range(1, 31):
        kernel.say(outward, *(order(f"O{number}", version) for number in range(20)))
    await outward.flush()
    async with at_work(outward):
        await wait(lambda: len(host.told) == 600)
    assert all(host.versions(f"O{number}") == list(range(1, 31)) for number in range(20))
    assert len(host.requests) < 60
    assert max(len(request.events) for request in host.requests) == 50
    assert len({request.headers["webhook-id"] for request in host.requests}) == len(host.requests)


@pytest.mark.parametrize("batch_max", [1, 10])
async def test_a_failing_order_holds_up_itself_alone_and_is_not_overtaken(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, batch_max: int
) -> None:
    healed = False

    def answer(request: Arrived) -> Answer:
        bad = any(e["data"]["order"] == "BAD" and e["data"]["version"] == 2 for e in request.events)
        return (500, {}, b"no such customer") if bad and not healed else OK

    host.answer = answer
    outward = await house.open(webhooks=[house.hook(host, batch_max=batch_max)])
    for version in range(1, 5):
        kernel.say(outward, order("BAD", version), *(order(f"O{number}", version) for number in range(10)))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 41)
        assert host.versions("BAD") == [1]
        assert (await figures_of(outward, "wms")).state == "up"
        kernel.say(outward, order("BAD", 5), order("O1", 5))
        await wait(lambda: host.versions("O1") == [1, 2, 3, 4, 5])
        healed = True
        await wait(lambda: host.versions("BAD") == [1, 2, 3, 4, 5])
    assert all(host.versions(f"O{number}") == [1, 2, 3, 4] for number in range(2, 10))


async def test_a_host_that_is_away_is_told_of_once_and_catches_up_in_order(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    outward = await house.open(webhooks=[house.hook(host)])
    async with at_work(outward):
        kernel.say(outward, order("O1", 1))
        await wait(lambda: host.versions("O1") == [1])
        await host.close()
        for version in range(2, 200):
            kernel.say(outward, order("O1", version), order("O2", version - 1))
        await wait(lambda: outward._hooks["wms"].presence.failed >= 3)
        figures = await figures_of(outward, "wms")
        assert (figures.state, figures.waiting > 300) == ("away", True)
        await host.open()
        await wait(lambda: len(host.told) >= 397)
    assert host.versions("O1") == list(range(1, 200))
    assert host.versions("O2") == list(range(1, 199))
    assert len(house.said("target is away")) == 1
    assert len(house.said("target is back")) == 1


async def test_a_refused_event_becomes_a_dead_letter_and_can_be_sent_again(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    refusing = True

    def answer(request: Arrived) -> Answer:
        return (422, {}, b"unknown\nSKU") if refusing and request.events[0]["data"]["version"] == 2 else OK

    host.answer = answer
    outward = await house.open(webhooks=[house.hook(host, tries_max=3)])
    kernel.say(outward, order("O1", 1), order("O1", 2), order("O1", 3))
    async with at_work(outward):
        await wait(lambda: host.versions("O1") == [1, 3])
        (letter,) = await outward.dead_letters(None, 10)
        assert (letter.target, letter.type, letter.subject, letter.tries) == ("wms", "order.started", "order/O1", 3)
        assert letter.reason == "HTTP 422: unknown"
        assert '"version":2' in letter.body
        assert len(host.requests) == 5
        assert (await figures_of(outward, "wms")).dead_letters == 1
        refusing = False
        assert await outward.replay([letter.number, letter.number, 999]) == 1
        await wait(lambda: host.versions("O1") == [1, 3, 2])
        assert await outward.dead_letters(None, 10) == []
        kernel.say(outward, order("O1", 4))
        await wait(lambda: host.versions("O1") == [1, 3, 2, 4])
    last = [r.headers["webhook-id"] for r in host.requests if r.events[0]["data"]["version"] == 2]
    assert len(set(last)) == 1  # the same id at each attempt


async def test_dead_letters_are_read_in_pages_and_bounded(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    host.answer = lambda request: (400, {}, b"") if request.events[0]["data"]["order"] != "LAST" else OK
    outward = await house.open(webhooks=[house.hook(host, tries_max=1, dead_letters_max=3)])
    kernel.say(outward, *(order(f"O{number}", 1) for number in range(5)), order("LAST", 1))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 1 and len(host.requests) == 6)
        await wait(lambda: len(house.said("dead letter")) == 5)
    page = await outward.dead_letters(None, 2)
    rest = await outward.dead_letters(page[-1].number, 2)
    assert [letter.number for letter in page + rest] == [5, 4, 3]
    assert (await figures_of(outward, "wms")).dropped == 2


async def test_a_host_that_refuses_everything_loses_few_events(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answer = lambda _: (401, {}, b"who are you?")
    outward = await house.open(webhooks=[house.hook(host, tries_max=1, backoff_max_s=3_600)])
    kernel.say(outward, *(order(f"O{number}", 1) for number in range(200)))
    async with at_work(outward):
        await wait(outward._hooks["wms"].presence.is_away)
        letters = (await figures_of(outward, "wms")).dead_letters
    assert letters <= webhook.FAILURES_IN_A_ROW_MAX + 8  # those that were on their way; then one at a time, ever slower
    assert house.said("target is away")[0]["reason"] == "HTTP 401: who are you?"


async def test_retry_after_is_honoured(house: House, host: Host, kernel: Kernelspeak, wait: Any) -> None:
    times: list[float] = []

    def answer(_: Arrived) -> Answer:
        times.append(time.monotonic())
        return (429, {"retry-after": "1"}, b"") if len(times) == 1 else OK

    host.answer = answer
    outward = await house.open(webhooks=[house.hook(host)])
    kernel.say(outward, order("O1", 1))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 1)
    assert times[1] - times[0] >= 1.0


async def test_redirects_are_not_followed(house: House, host: Host, kernel: Kernelspeak, wait: Any) -> None:
    host.answer = lambda _: (307, {"location": host.url + "/elsewhere"}, b"")
    outward = await house.open(webhooks=[house.hook(host, tries_max=1)])
    kernel.say(outward, order("O1", 1))
    async with at_work(outward):
        await wait(lambda: len(house.said("dead letter")) == 1)
    assert len(host.requests) == 1
    (letter,) = await outward.dead_letters(None, 1)
    assert letter.reason == "HTTP 307 (redirects are not followed: correct `url`)"


async def test_a_huge_answer_is_not_read_and_a_slow_one_is_not_waited_for(
    house: House, host: Host, kernel: Kernelspeak, wait: Any
) -> None:
    slow = asyncio.Event()

    async def answer(request: Arrived) -> Answer:
        if request.events[0]["data"]["order"] == "SLOW" and not slow.is_set():
            await slow.wait()
        return 200, {}, b"x" * 5_000_000

    host.answer = answer
    outward = await house.open(webhooks=[house.hook(host, timeout_ms=300)])
    kernel.say(outward, order("HUGE", 1), order("SLOW", 1), order("HUGE", 2))
    async with at_work(outward):
        await wait(lambda: host.versions("HUGE") == [1, 2])
        await wait(lambda: outward._hooks["wms"].presence.failed >= 1)
        slow.set()
        await wait(lambda: 1 in host.versions("SLOW"))
    assert host.connections >= 3  # what is not read to its end costs the connection


async def test_a_new_secret_counts_beside_the_old_one(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECRETS_EVERY_S", 0.02)
    outward = await house.open(webhooks=[house.hook(host)])
    async with at_work(outward):
        kernel.say(outward, order("O1", 1))
        await wait(lambda: len(host.told) == 1)
        house.secret_file.write_text(f"# new\n{OTHER_SECRET}\n\n{SECRET}\n", encoding="ascii")
        await wait(lambda: len(outward._hooks["wms"]._secrets) == 2)
        kernel.say(outward, order("O1", 2))
        await wait(lambda: len(host.told) == 2)
        house.secret_file.write_text("whsec_short\n", encoding="ascii")
        await wait(lambda: len(house.said("secrets stay as they were")) == 1)
        kernel.say(outward, order("O1", 3))
        await wait(lambda: len(host.told) == 3)
    assert [(r.is_signed_by(SECRET), r.is_signed_by(OTHER_SECRET)) for r in host.requests] == [
        (True, False), (True, True), (True, True),
    ]  # fmt: skip
    assert "whsec" not in str(house.log.calls[-1].kwargs).replace("whsec_ and", "").replace("echo whsec_$", "")


async def test_a_missing_secret_keeps_the_target_away_until_it_is_there(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECRETS_EVERY_S", 0.02)
    outward = await house.open(webhooks=[house.hook(host)])
    house.secret_file.unlink()
    kernel.say(outward, order("O1", 1))
    async with at_work(outward):
        await wait(outward._hooks["wms"].presence.is_away)
        assert "can't be read" in (await figures_of(outward, "wms")).reason
        house.secret_file.write_text(SECRET, encoding="ascii")
        await wait(lambda: len(host.told) == 1)


async def test_a_part_that_fails_is_started_again_and_takes_no_other_down(
    house: House, host: Host, kernel: Kernelspeak, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = post.Post.send

    async def send(self: post.Post, headers: Any, body: bytes) -> Any:
        if self._url.target == b"/broken":
            raise RuntimeError("a bug")
        return await sound(self, headers, body)

    monkeypatch.setattr(post.Post, "send", send)
    broken = house.hook(host, id="broken") | {"url": f"http://127.0.0.1:{host.port}/broken"}
    outward = await house.open(webhooks=[broken, house.hook(host)])
    kernel.say(outward, order("O1", 1))
    async with at_work(outward):
        await wait(lambda: len(host.told) == 1)
        await wait(lambda: len(house.said("part failed and is started again")) >= 1)
    assert (await figures_of(outward, "broken")).waiting == 1


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks documentation: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw."""
    import base64

    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "it has 0"),
        (b"whsec_AAAA\n", "24 to 64 bytes"),
        ((SECRET + "\n").encode() * 3, "it has 3"),
        (SECRET.removeprefix("whsec_").encode(), "must be whsec_"),
        (b"\xff\xfe", "not ASCII"),
        (b"#" * 5_000, "larger than 4096 bytes"),
    ],
)
def test_secrets_that_are_none_are_refused_and_not_shown(tmp_path: Any, text: bytes, problem: str) -> None:
    (tmp_path / "secret").write_bytes(text)
    with pytest.raises(NoSecret, match=problem) as raised:
        read_secrets(str(tmp_path / "secret"))
    assert "AAAA" not in str(raised.value)


def test_what_answers_mean() -> None:
    kinds = {status: judge(status, "", "").kind for status in (200, 204, 301, 400, 404, 408, 410, 422, 429, 500, 503)}
    assert kinds == {
        200: "passed", 204: "passed", 301: "refused", 400: "refused", 404: "refused", 408: "later", 410: "refused",
        422: "refused", 429: "away", 500: "later", 503: "away",
    }  # fmt: skip
    assert judge(503, "120", "").retry_after_s == 120
    assert judge(503, "soon", "").retry_after_s == 0
    assert judge(503, "Fri, 31 Dec 1999 23:59:59 GMT", "").retry_after_s == 0
    assert judge(503, "Fri, 31 Dec 2999 23:59:59 GMT", "").retry_after_s > 1e9
