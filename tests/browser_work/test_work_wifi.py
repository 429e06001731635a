"""The Wi-Fi goes and comes back: nothing is done twice, nothing is lost, and whoever was overtaken is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.contract import SignOff, SignOn

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_answer_that_is_lost_is_asked_for_again_and_done_once(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1")
    await hall.order("O2", "TOTE-2")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await wedge(page, "TOTE-1")
    await hall.until(lambda: hall.state.tasks["O1/a"].accepted_ns > 0)
    await page.locator("#confirm").wait_for()
    hall.wifi.deaf()
    await page.locator("#confirm").click()
    await hall.until(lambda: hall.state.tasks["O1/a"].state == "finished")
    await page.get_by_role("heading", name="Waiting to be sent: 1").wait_for()
    assert await page.locator("#waiting-list li").all_text_contents() == ["Done TOTE-1"]
    lost = hall.wifi.lost
    await hall.until(lambda: hall.wifi.lost > lost)  # it has been sent again, and taken as the same
    assert hall.state.tasks["O2/a"].state == "active"
    hall.wifi.up()
    await hall.hurry(page)
    await page.get_by_role("heading", name="TOTE-2").wait_for()
    assert await page.locator("#waiting").is_hidden()
    assert await page.get_by_role("alert").is_hidden()
    assert hall.asked() == [True] * 3  # sign on, accept, confirm: each under one key
    assert hall.state.tasks["O2/a"].accepted_ns == 0


async def test_help_that_was_called_twice_over_a_bad_line_is_one_call(hall: Any) -> None:
    page = await hall.hand_held(person="anna")
    hall.wifi.deaf()
    await page.locator("#screen-wait .help").click()
    await page.get_by_role("button", name="Call", exact=True).click()
    await hall.until(lambda: len(hall.state.alarms) == 1)
    await page.get_by_text("Help for Anna").wait_for()
    hall.wifi.up()
    await hall.hurry(page)
    await page.get_by_text("Help has been called").wait_for()
    assert hall.asked() == [True, True]
    (alarm,) = hall.state.alarms.values()
    assert alarm.count == 1


async def test_offline_it_is_kept_over_a_reload_and_sent_in_order(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1")
    await hall.order("O2", "TOTE-2")
    page = await hall.hand_held(person="anna", service_workers="allow")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await page.evaluate("navigator.serviceWorker.ready")
    await page.context.set_offline(True)
    await page.locator("#link[data-state=away]").wait_for()
    await wedge(page, "TOTE-1")
    await page.get_by_text("Accepted: waiting to be sent").wait_for()
    await page.locator("#screen-task .help").click()
    await page.get_by_role("button", name="Call", exact=True).click()
    await page.locator("#confirm").click()
    await page.get_by_role("heading", name="Waiting for the connection").wait_for()
    await page.reload()
    await page.get_by_role("heading", name="Waiting to be sent: 3").wait_for()
    assert await page.locator("#who-name").inner_text() == "Anna"
    lines = await page.locator("#waiting-list li").all_text_contents()
    assert lines == ["Accept TOTE-1", "Help for Anna", "Done TOTE-1"]
    assert hall.state.tasks["O1/a"].accepted_ns == 0
    await page.context.set_offline(False)
    await page.get_by_role("heading", name="TOTE-2").wait_for()
    task = hall.state.tasks["O1/a"]
    assert (task.state, task.accepted_ns > 0, len(hall.state.alarms)) == ("finished", True, 1)
    assert hall.asked() == [True] * 4
    assert await page.evaluate("Object.keys(localStorage).filter((name) => name.includes('.act.'))") == []


async def test_a_sign_on_whose_answer_is_lost_and_a_reload(hall: Any) -> None:
    page = await hall.hand_held(service_workers="allow")
    await page.evaluate("navigator.serviceWorker.ready")
    await page.locator("#station").select_option("WS1")
    await page.locator("#badge").fill("anna")
    hall.wifi.deaf()
    await page.locator("#sign-on").click()
    # The look before the sign-on gets no answer either; then the sign-on itself.
    await hall.until(lambda: hall.state.people == {"anna": "WS1"})
    await page.get_by_text("Sign on Anna at WS1").wait_for()
    await page.reload()
    await page.get_by_role("heading", name="Signing on").wait_for()
    hall.wifi.up()
    await hall.hurry(page)
    await page.get_by_role("heading", name="No task now").wait_for()
    assert hall.asked() == [True]


async def test_whoever_was_overtaken_meanwhile_is_told(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    hall.wifi.down()
    await wedge(page, "TOTE-1")
    await page.locator("#confirm").click()
    await page.get_by_role("heading", name="Waiting to be sent: 2").wait_for()
    await hall.ask(SignOff("anna"))
    await hall.ask(SignOn("ben", "WS1"))
    await hall.until(lambda: hall.state.tasks["O1/a"].person == "ben")
    hall.wifi.up()
    await hall.hurry(page)
    alert = page.get_by_role("alert")
    await alert.get_by_text("Not done: Accept TOTE-1").wait_for()
    assert "task O1/a is done by ben" in await alert.inner_text()
    assert "not yours any more" in await alert.inner_text()
    await page.reload()  # what nobody has read is not forgotten
    await alert.get_by_role("button", name="Understood (3)").click()
    await alert.get_by_text("Not done: Done TOTE-1").wait_for()
    await alert.get_by_role("button", name="Understood (2)").click()
    await alert.get_by_text("signed off at WS1 by somebody else").wait_for()
    await alert.get_by_role("button", name="Understood").click()
    await page.get_by_role("heading", name="Sign on").wait_for()
    assert hall.asked() == [True, False, False]
    assert hall.state.tasks["O1/a"].person == "ben"
    assert hall.state.tasks["O1/a"].accepted_ns == 0


async def test_no_more_than_a_score_of_actions_waits(hall: Any) -> None:
    page = await hall.hand_held(person="anna")
    hall.wifi.down()
    for _ in range(20):
        await page.locator("#screen-wait .help").click()
        await page.locator("#dialog-help button.main").click()
    await page.locator("#screen-wait .help").click()
    await page.locator("#dialog-help button.main").click()
    await page.get_by_role("alert").get_by_text("20 actions wait to be sent").wait_for()
    hall.wifi.up()
    await hall.hurry(page)
    await hall.until(lambda: len(hall.asked()) == 21)
    await page.locator("#waiting").wait_for(state="hidden")
    assert hall.asked() == [True] * 21


async def test_what_was_done_under_one_account_is_not_sent_under_another(hall: Any) -> None:
    page = await hall.hand_held(person="anna")
    hall.wifi.down()
    await page.locator("#screen-wait .help").click()
    await page.locator("#dialog-help button.main").click()
    await page.get_by_text("Help for Anna").wait_for()
    kept = f'{{"key": "{hall.keys["engineer"]}", "name": "the-engineer", "csrf": ""}}'
    await page.evaluate("(kept) => localStorage.setItem('stellwerk.work.door', kept)", kept)
    hall.wifi.up()
    await hall.hurry(page)
    await page.get_by_text("done under the account the-operator").wait_for()
    assert hall.state.alarms == {}
    await page.get_by_role("button", name="Throw away").click()
    await page.locator("#waiting").wait_for(state="hidden")
    assert (hall.state.alarms, hall.asked("the-engineer")) == ({}, [])


async def test_a_device_that_can_keep_nothing_takes_nothing(hall: Any) -> None:
    page = await hall.hand_held(person="anna")
    await page.evaluate(
        "void (Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); })"
    )
    await page.locator("#screen-wait .help").click()
    await page.locator("#dialog-help button.main").click()
    await page.get_by_role("alert").get_by_text("can’t keep anything").wait_for()
    assert hall.state.alarms == {}


async def test_a_sign_on_of_long_ago_is_told_and_not_sent(hall: Any) -> None:
    page = await hall.hand_held()
    await page.get_by_role("heading", name="Sign on").wait_for()
    await page.evaluate("""() => localStorage.setItem('stellwerk.work.act.000000000001.00', JSON.stringify({
      kind: 'sign_on', path: '/workers/anna/sign-on', body: {station: 'WS1'}, by: 'the-operator', key: 'work-1',
      about: {person: 'anna', name: 'Anna', station: 'WS1'}, at_ms: Date.now() - 11 * 60_000, faults: 0 }))""")
    await hall.hurry(page)
    await page.get_by_role("alert").get_by_text("It was too long ago").wait_for()
    assert (hall.asked(), hall.state.people) == ([], {})


async def test_two_tabs_of_a_device_do_it_once(hall: Any) -> None:
    first = await hall.hand_held(person="anna")
    second = await first.context.new_page()
    await second.goto(f"{hall.url}/web/work/")
    await second.get_by_role("heading", name="No task now").wait_for()
    hall.wifi.down()
    await first.locator("#screen-wait .help").click()
    await first.locator("#dialog-help button.main").click()
    for page in (first, second):
        await page.get_by_role("heading", name="Waiting to be sent: 1").wait_for()
    hall.wifi.up()
    for page in (first, second):
        await hall.hurry(page)
    for page in (first, second):
        await page.locator("#waiting").wait_for(state="hidden")
    assert hall.asked() == [True, True]
    assert [alarm.count for alarm in hall.state.alarms.values()] == [1]
