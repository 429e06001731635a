"""What a person sees of a fault, what it tells him to do, and what comes of doing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from until import until

RED = "[...document.querySelector('sw-map').conditions].map(([id, c]) => `${id} ${c.level}`)"


def test_a_jam_is_seen_understood_and_cleared(
    visit: Callable[..., Any], bench: Any, picture: Any, assert_accessible: Callable[[Any], None]
) -> None:
    page = visit("#/floor", who="operator")
    page.wait_for_selector(".areas")
    assert page.query_selector(".strip") is None
    bench.fault("jam", "C1", on=True, zone=5)
    try:
        # Seen: on the page that is open, as colour, shape, number and words.
        page.wait_for_selector(".strip.high:has-text('C1 zone 5')", timeout=30_000)
        assert page.inner_text("nav .count") == "1"
        until(page, f"{RED}.includes('C1 high')")
        picture(page, "jam-floor")
        assert page.get_attribute(".areas .symbol.high", "aria-label") == "fault"
        # Understood: two clicks to the cause and what to do.
        page.click(".strip")
        alarm = page.locator(".alarms > li")
        assert alarm.locator(".steps li").all_inner_texts() == [
            "Go to C1, zone 5.", "Free the load by hand. Keep your hands clear of the belt.", "Then press Reset.",
        ]  # fmt: skip
        assert "came first" in alarm.inner_text()
        assert_accessible(page)
        picture(page, "jam-alarms")
        page.click("li.alarm h2 a")
        page.wait_for_selector(".parts button.high[aria-label*='zone 5: jammed']")
        page.click(".parts button.high")
        page.wait_for_selector("h3:has-text('zone 5')")
        assert_accessible(page)
        picture(page, "jam-device")
        bench.fault("jam", "C1", on=False, zone=5)  # freed by hand
    finally:
        bench.fault("jam", "C1", on=False, zone=5)
    # Cleared: with a confirmation and a reason, which is on record.
    page.click(".trouble button:has-text('Reset zone 5')")
    page.wait_for_selector("dialog[open]")
    assert "look that nobody is in its way" in page.inner_text("dialog")
    assert_accessible(page)
    picture(page, "jam-dialog")
    page.fill("dialog input[name=reason]", "Träger befreit")
    page.click("dialog button.main")
    page.wait_for_selector(".trouble", state="detached")
    assert page.query_selector("dialog[open]") is None
    last = next(entry for entry in bench.audit() if entry.what.startswith("reset_device"))
    assert (last.who, last.what, last.outcome, last.why) == (
        "the-operator", "reset_device C1 zone 5", "accepted", "Träger befreit",
    )  # fmt: skip
    # Gone, and somebody has to say that he has seen it.
    page.click("nav >> text=Alarms")
    page.wait_for_selector("li.gone:has-text('gone, not acknowledged')")
    page.click("li.gone button:has-text('Acknowledge')")
    page.click("dialog button.main")
    page.wait_for_selector(".calm:has-text('Nothing needs a person')")


def test_an_alarm_is_shelved_for_a_while_and_sounds_only_where_it_is_wanted(
    visit: Callable[..., Any], bench: Any, picture: Any
) -> None:
    page = visit("#/alarms", who="operator")
    page.wait_for_selector("h1:text('Alarms')")
    rung = "document.querySelector('sw-app').house.bell.rung"
    page.click("button[aria-label='Alarm sound is off']")
    until(page, f"{rung} >= 1")
    bench.fault("agv_failure", "AGV2", on=True)
    try:
        page.wait_for_selector("li.alarm:has-text('AGV2')", timeout=30_000)
        until(page, f"{rung} >= 2")
        page.click("li.alarm:has-text('AGV2') button:has-text('Shelve')")
        page.click("dialog button.main")  # no reason given
        assert page.query_selector("dialog[open]") is not None
        page.fill("dialog input[name=reason]", "waits for a spare part")
        page.select_option("dialog select", "15")
        page.click("dialog button.main")
        page.wait_for_selector(".alarms.shelved li:has-text('waits for a spare part')")
        assert page.query_selector(".alarms:not(.shelved) li:has-text('AGV2')") is None
        # What is shelved does not count; another vehicle may have an alarm of its own behind this one.
        listed = "document.querySelectorAll('.alarms:not(.shelved) > li').length"
        until(page, f"Number(document.querySelector('nav .count')?.innerText ?? 0) === {listed}")
        picture(page, "shelved")
        page.click(".shelved button:has-text('Back to the list')")
        page.click("dialog button.main")
        page.wait_for_selector(".alarms:not(.shelved) li:has-text('AGV2')")
    finally:
        bench.fault("agv_failure", "AGV2", on=False)
    page.click("li.alarm:has-text('AGV2') button:has-text('Acknowledge')")
    page.click("dialog button.main")
    page.wait_for_selector("li.alarm:has-text('AGV2')", state="detached", timeout=30_000)


def test_a_cut_line_is_told_and_taken_up_again(visit: Callable[..., Any], bench: Any, picture: Any) -> None:
    page = visit("#/floor", url=bench.cuttable_url, quiet=True)
    page.wait_for_selector(".standing.live")
    page.wait_for_selector(".areas")
    house = "document.querySelector('sw-app').house"
    bench.call(bench.gap.cut())
    page.wait_for_selector(".banner:has-text('No connection since')", timeout=10_000)
    assert page.get_attribute("main", "class") == "stale"
    shown = page.evaluate(f"{house}.picture.seq")
    picture(page, "no-connection")
    # What has stood still is told by its age.
    until(page, "/[2-9] s old/.test(document.querySelector('.banner').innerText)")
    # Resumed, not begun anew: the newest snapshot would forget all first.
    page.evaluate(
        f"{house}.picture.begun = 0; {house}.picture.addEventListener('change', (event) => {{"
        f" if (event.detail.has('site')) {house}.picture.begun += 1; }})"
    )
    bench.call(bench.gap.join())
    page.wait_for_selector(".standing.live")  # by itself: the longest wait between two tries is 10 s
    until(page, f"{house}.picture.seq > {shown}")
    page.wait_for_selector(".banner", state="detached")
    assert page.evaluate(f"{house}.picture.begun") == 0
    assert page.get_attribute("main", "class") == ""


def test_an_order_tells_why_it_waits_and_is_held_changed_and_cancelled(
    visit: Callable[..., Any], bench: Any, picture: Any, assert_accessible: Callable[[Any], None]
) -> None:
    page = visit("#/orders", who="operator")
    page.wait_for_selector("table.orders tbody tr")
    page.select_option("select", "created")
    page.fill("input[type=search]", "WMS-")
    page.wait_for_selector("tbody tr:has-text('waiting for release')", timeout=30_000)
    row = page.locator("tbody tr").last  # the one that will be released last
    name = row.locator("th a").inner_text()
    row.locator("th a").click()
    page.wait_for_selector(".reasons li:has-text('not released')")
    assert_accessible(page)
    for button, shown in (("Hold", "held"), ("Go on", "waiting for release")):
        page.click(f".order > .buttons button:text-is('{button}')")
        page.fill("dialog input[name=reason]", "by a test")
        page.click("dialog button.main")
        page.wait_for_selector(f".head .now b:text-is('{shown}')")
    page.click(".order > .buttons button:has-text('Change priority')")
    page.select_option("dialog select", "5")
    page.fill("dialog input[name=reason]", "Übermorgen reicht")
    page.click("dialog button.main")
    page.wait_for_selector(".head .now:has-text('Priority 5')")
    changed = next(entry for entry in bench.audit() if entry.what == f"change_order {name}")
    assert changed.why == "Uebermorgen reicht"
    picture(page, "order")
    page.click(".order > .buttons button:has-text('Cancel')")
    page.fill("dialog input[name=reason]", "no longer wanted")
    page.click("dialog button.main")
    page.wait_for_selector(".head .now b:text-is('cancelled')")
    assert page.query_selector(".order > .buttons") is None


def test_an_act_on_what_is_another_version_by_now_is_refused_and_told(visit: Callable[..., Any], bench: Any) -> None:
    page = visit("#/orders", who="operator", quiet=True)
    page.wait_for_selector("table.orders tbody tr")
    page.select_option("select", "created")
    page.wait_for_selector("tbody tr", timeout=30_000)
    row = page.locator("tbody tr").last
    name = row.locator("th a").inner_text()
    row.locator("th a").click()
    page.click(".order > .buttons button:text-is('Hold')")
    csrf = page.evaluate("fetch('/api/v1/session').then(answer => answer.json()).then(found => found.csrf)")
    answer = page.context.request.patch(
        f"{bench.url}/api/v1/orders/{name}", data={"priority": 5}, headers={"X-CSRF-Token": csrf}
    )
    assert answer.ok, answer.text()
    page.fill("dialog input[name=reason]", "by a test")
    page.click("dialog button.main")
    page.wait_for_selector("dialog .problem:has-text('Refused')")
    page.click("dialog button:has-text('Leave it')")


def test_who_may_only_look_is_told_so(visit: Callable[..., Any]) -> None:
    page = visit("#/device/C1", who="viewer")
    page.wait_for_selector("text=Your role, viewer, may look only")
    assert page.query_selector("button:text-is('Hold')") is None
    page = visit("#/device/C1")
    page.click("text=To act, log in as operator")
    page.fill("input[name=name]", "the-operator")
    page.fill("input[name=password]", "a-long-word-for-tests")
    page.click("form button.main")
    page.wait_for_selector(".who:has-text('the-operator')")
    page.click(".who")
    page.wait_for_selector(".who:has-text('Log in')")


def test_a_vehicle_is_held_and_goes_on(visit: Callable[..., Any]) -> None:
    page = visit("#/device/AGV4", who="operator")
    page.click("button:text-is('Hold')")
    page.click("dialog button.main")
    assert page.query_selector("dialog[open]") is not None  # a reason is asked for
    page.fill("dialog input[name=reason]", "a person in its way")
    page.click("dialog button.main")
    page.wait_for_selector(".whynot:has-text('a person in its way')")
    page.click("button:text-is('Go on')")
    page.click("dialog button.main")
    page.wait_for_selector(".whynot", state="detached")
    page.wait_for_selector(".uplot canvas", timeout=10_000)


def test_what_changes_on_the_plant_is_on_the_screen_at_once(
    visit: Callable[..., Any], record_property: Callable[[str, object], None]
) -> None:
    """From the gateway's time of a diff to the frame that shows it."""
    page = visit("#/floor")
    page.wait_for_selector(".areas")
    page.evaluate(
        "() => { const {picture} = document.querySelector('sw-app').house; const found = globalThis.lags = [];"
        " picture.addEventListener('change', () => { const at = picture.atMs;"
        " requestAnimationFrame(() => setTimeout(() => found.push(Date.now() - at))); }); }"
    )
    until(page, "lags.length >= 40", 30)
    lags = sorted(page.evaluate("lags"))
    p95 = lags[int(len(lags) * 0.95)]
    record_property("live view, from diff to frame", f"p50 {lags[len(lags) // 2]} ms, p95 {p95} ms")
    assert p95 <= 250, lags
