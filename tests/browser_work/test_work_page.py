"""A person's day with the page: the device is set up, they sign on, work, scan, report, call and go."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.contract import SignOff, SignOn

pytestmark = pytest.mark.asyncio(loop_scope="session")
PASSWORD = "four words in a row"


async def test_a_device_is_let_in_with_a_key_of_the_right_role_alone(hall: Any, wedge: Any) -> None:
    page = await hall.hand_held("")
    await page.get_by_role("heading", name="Set up this device").wait_for()
    alert = page.get_by_role("alert")
    await page.locator("#key").fill("swk_of_nobody")
    await page.get_by_role("button", name="Use this key").click()
    await alert.get_by_text("does not know this key").wait_for()
    await page.locator("#key").fill(hall.keys["viewer"])
    await page.get_by_role("button", name="Use this key").click()
    await alert.get_by_text("role viewer").wait_for()
    await wedge(page, hall.keys["operator"])
    await page.get_by_role("heading", name="Sign on").wait_for()
    assert await alert.is_hidden()
    assert await page.locator("#station option").all_text_contents() == ["Choose a station", "CLR", "WS1", "WS2"]
    await hall.access.keys.revoke("the-operator")
    await page.get_by_text("does not let this device in any more").wait_for()


async def test_an_account_will_do_in_place_of_a_key(hall: Any) -> None:
    await hall.access.accounts.add("root", PASSWORD, "admin")
    await hall.access.accounts.add("eve", PASSWORD, "operator")
    page = await hall.hand_held("")
    await page.get_by_text("Or log in with an account").click()
    await page.locator("#name").fill("eve")
    await page.locator("#password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Sign on").wait_for()
    await hall.sign_on(page, "ben")
    assert hall.asked("eve") == [True]
    assert PASSWORD not in await page.evaluate("JSON.stringify(localStorage)")


async def test_a_person_signs_on_works_and_goes(hall: Any) -> None:
    await hall.order("O1", "TOTE-1")
    await hall.order("O2", "TOTE-2", recipe="gift wrap")
    page = await hall.hand_held()
    await page.locator("#badge").fill("zoe")
    await page.locator("#sign-on").click()
    await page.get_by_role("alert").get_by_text("Nobody here has the badge zoe").wait_for()
    await hall.sign_on(page, "anna")
    task = page.locator("#screen-task")
    await task.get_by_role("heading", name="TOTE-1").wait_for()
    told = await task.inner_text()
    assert re.search(r"Pick.*Where\nWS1-BENCH.*\d\d:\d\d \(0 min\).*O1.*1 more task waits here", told, re.DOTALL)
    await page.locator("#accept").click()
    await hall.until(lambda: hall.state.tasks["O1/a"].accepted_ns > 0)
    await page.locator("#confirm").click()
    ask = page.locator("#dialog-ask")
    await ask.get_by_text("TOTE-1 has not been scanned").wait_for()
    await ask.get_by_role("button", name="Back").click()
    assert hall.state.tasks["O1/a"].state == "active"
    await page.locator("#confirm").click()
    await ask.get_by_role("button", name="Yes, done").click()
    await task.get_by_role("heading", name="TOTE-2").wait_for()
    assert hall.state.tasks["O1/a"].state == "finished"
    assert "gift wrap" in await task.inner_text()
    await page.get_by_role("button", name="Menu").click()
    await page.get_by_role("button", name="Sign off").click()
    await ask.get_by_text("goes back and waits for the next person").wait_for()
    await ask.get_by_role("button", name="Sign off").click()
    await page.get_by_role("heading", name="Sign on").wait_for()
    assert hall.state.people == {}
    assert hall.state.tasks["O2/a"].person == ""
    assert hall.asked() == [True] * 4


async def test_a_scan_signs_on_takes_up_and_refuses_the_wrong_load(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1", barcodes=("340123450000000017",))
    await hall.order("O2", "TOTE-2")
    page = await hall.hand_held()
    await page.evaluate("navigator.vibrate = (pattern) => { window.shaken = pattern; return true; }")
    await page.locator("#station").focus()
    await wedge(page, "WS1")
    await wedge(page, "anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await page.locator("#accept").focus()
    await wedge(page, "TOTE-2")
    alert = page.get_by_role("alert")
    await alert.get_by_text("Scanned TOTE-2. Wanted TOTE-1.").wait_for()
    assert await page.evaluate("window.shaken.length") == 5
    assert hall.state.tasks["O1/a"].accepted_ns == 0  # its Enter has not pressed the button that had the focus
    await wedge(page, "]C1340123450000000017")
    await page.get_by_text("Right load scanned").wait_for()
    assert await alert.is_hidden()
    await hall.until(lambda: hall.state.tasks["O1/a"].accepted_ns > 0)
    await page.locator("#confirm").click()
    await page.get_by_role("heading", name="TOTE-2").wait_for()
    assert hall.state.tasks["O1/a"].state == "finished"
    assert hall.asked() == [True] * 3


async def test_a_scan_is_no_note_and_slow_keys_are_no_scan(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna")
    await page.locator("#short").click()
    note = page.locator("#short-note")
    await note.fill("two left")
    await note.focus()
    await wedge(page, "TOTE-1")
    assert await note.input_value() == "two left"
    await page.keyboard.press("Escape")
    assert hall.state.tasks["O1/a"].state == "active"
    await page.locator("#code").focus()
    await wedge(page, "TOTE-9", gap_ms=150)
    # Typed by hand: the form of the field is sent, which says the same.
    await page.get_by_role("alert").get_by_text("Scanned TOTE-9").wait_for()
    assert await page.locator("#code").input_value() == ""


async def test_short_damaged_and_help(hall: Any) -> None:
    for number in (1, 2):
        await hall.order(f"O{number}", f"TOTE-{number}")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await page.locator("#short").click()
    short = page.locator("#dialog-short")
    for _ in range(4):
        await short.get_by_role("button", name="One more").click()
    await short.get_by_role("button", name="One less").click()
    await short.get_by_role("button", name="fewer than ordered").click()
    await short.get_by_role("button", name="Report short").click()
    await page.get_by_role("heading", name="TOTE-2").wait_for()
    assert hall.state.orders["O1"].reason == "step a: anna: short, found 2: fewer than ordered"
    await page.locator("#screen-task .help").click()
    helped = page.locator("#dialog-help")
    await helped.get_by_role("button", name="scanner").click()
    await helped.locator("#help-note").fill("it beeps")
    await helped.get_by_role("button", name="Call", exact=True).click()
    await page.get_by_text("Help has been called").wait_for()
    assert [alarm.text for alarm in hall.state.alarms.values()] == ["anna at WS1 asks for help: scanner, it beeps"]
    await page.locator("#damaged").click()
    damaged = page.locator("#dialog-damaged")
    await damaged.get_by_role("button", name="wet").click()
    await damaged.locator("#damaged-note").fill("leaks")
    await damaged.get_by_role("button", name="Report damaged").click()
    await page.get_by_role("heading", name="No task now").wait_for()
    assert hall.state.orders["O2"].reason == "step a: anna: damaged: wet, leaks"
    await hall.order("O3", "TOTE-1")
    await hall.hurry(page)
    await page.get_by_role("heading", name="TOTE-1").wait_for()  # by itself


async def test_a_reload_goes_on_from_the_same(hall: Any, wedge: Any) -> None:
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await wedge(page, "TOTE-1")
    await hall.until(lambda: hall.state.tasks["O1/a"].accepted_ns > 0)
    await page.reload()
    await page.get_by_text("Right load scanned").wait_for()
    assert await page.locator("#who-name").inner_text() == "Anna"
    await page.locator("#confirm").click()
    await page.get_by_role("heading", name="No task now").wait_for()
    assert hall.state.tasks["O1/a"].state == "finished"


async def test_newer_files_are_taken_when_nobody_is_in_the_midst_of_something(hall: Any) -> None:
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna", service_workers="allow")
    await page.evaluate("navigator.serviceWorker.ready")
    await page.reload()
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    assert await page.evaluate("navigator.serviceWorker.controller !== null")
    await page.locator("#code").fill("TOTE-")
    await page.evaluate("window.old = true; navigator.serviceWorker.dispatchEvent(new Event('controllerchange'))")
    heard = "Number(localStorage.getItem('stellwerk.work.heard_ms'))"
    was = await page.evaluate(heard)
    await hall.hurry(page)
    await hall.holds(page, f"{heard} > {was}")
    assert await page.evaluate("window.old")
    async with page.expect_event("load"):
        await page.locator("#code").fill("")
        await hall.hurry(page)
    await page.get_by_role("heading", name="TOTE-1").wait_for()


async def test_who_is_signed_on_already_goes_on_there(hall: Any) -> None:
    await hall.ask(SignOn("anna", "WS2"))
    page = await hall.hand_held()
    await page.locator("#station").select_option("WS1")
    await page.locator("#badge").fill("anna")
    await page.locator("#sign-on").click()
    await page.get_by_role("button", name="Go on at WS2").click()
    await page.locator("#who-place").get_by_text("WS2").wait_for()
    assert hall.state.people == {"anna": "WS2"}
    await hall.ask(SignOff("anna"))
    await hall.hurry(page)
    await page.get_by_role("alert").get_by_text("signed off at WS2 by somebody else").wait_for()
    await page.get_by_role("button", name="Understood").click()
    await page.get_by_role("heading", name="Sign on").wait_for()
    await hall.ask(SignOn("ben", "WS1"))
    await page.locator("#station").select_option("WS1")
    await page.locator("#badge").fill("anna")
    await page.locator("#sign-on").click()
    await page.get_by_role("alert").get_by_text("Not done: Sign on Anna at WS1").wait_for()
    assert hall.state.people == {"ben": "WS1"}


async def test_all_of_it_works_by_keyboard(hall: Any) -> None:
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("heading", name="TOTE-1").wait_for()

    async def tab_to(name: str) -> None:
        for _ in range(12):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.id") == name:
                return
        pytest.fail(f"Tab does not reach {name}")

    await tab_to("accept")
    await page.keyboard.press("Enter")
    await hall.until(lambda: hall.state.tasks["O1/a"].accepted_ns > 0)
    await tab_to("confirm")
    await page.keyboard.press("Space")
    await tab_to("ask-yes")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="No task now").wait_for()
    assert await page.evaluate("document.activeElement.id") == "wait-head"
    assert hall.state.tasks["O1/a"].state == "finished"
