"""Gloves, sunlight, languages, the camera, and the files of the page."""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from gateway.contract import SignOff

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "gateway" / "web" / "work"
HAND_HELD = {"width": 480, "height": 800}
TOUCH_PX_MIN = 48
CONTRAST_MIN = 7.0
"""WCAG 2.2, 1.4.6 (AAA)."""
PICTURES = {
    "task-phone", "task-hand-held", "scanned-phone", "sign-on-de-light", "short-de-light", "away-de-light",
    "wrong-de-light", "wrong-de-dark", "menu-en-from-light",
}  # fmt: skip
"""Those that are kept of all."""
in_browser = pytest.mark.asyncio(loop_scope="session")


async def picture(page: Any, name: str) -> None:
    """Kept for the docs where STELLWERK_TEST_PICTURES=1."""
    if name in PICTURES and os.environ.get("STELLWERK_TEST_PICTURES") == "1":
        await page.screenshot(path=ROOT / "docs" / "pictures" / f"work-{name}.png")


SIZES = """() => [...document.querySelectorAll('button, input, select, summary')]
  .filter((each) => each.checkVisibility())
  .map((each) => [each.id || each.textContent, each.getBoundingClientRect()])
  .map(([name, box]) => [name, box.width, box.height])"""
UNNAMED = """() => [...document.querySelectorAll('button, input, select')]
  .filter((each) => each.checkVisibility() && !each.ariaLabel && !each.textContent.trim())
  .filter((each) => ![...(each.labels || [])].some((label) => label.textContent))
  .map((each) => each.id)"""
CONTRAST = """() => {
  const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  const shade = (rgb) => {
    const [r, g, b] = rgb.match(/[0-9.]+/g).map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (each) => {
    for (; each; each = each.parentElement) {
      const found = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(found)) return found;
    }
    return 'rgb(255, 255, 255)';
  };
  return [...document.querySelectorAll('main *, header *, dialog[open] *')]
    .filter((each) => each.checkVisibility())
    .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .map((each) => {
      const [a, b] = [shade(getComputedStyle(each).color), shade(ground(each))];
      return [each.id || each.textContent.slice(0, 20), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    });
}"""


async def check_look(page: Any) -> None:
    """Big enough for gloves, dark enough for the sun, named for a screen reader, and nothing beside the screen."""
    assert [each for each in await page.evaluate(SIZES) if min(each[1:]) < TOUCH_PX_MIN] == []
    contrasts = await page.evaluate(CONTRAST)
    assert contrasts
    assert [each for each in contrasts if each[1] < CONTRAST_MIN] == []
    assert await page.evaluate(UNNAMED) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@in_browser
@pytest.mark.parametrize("look", ["light", "dark"])
async def test_every_screen_in_german(hall: Any, wedge: Any, look: str) -> None:
    size = HAND_HELD if look == "dark" else {"width": 390, "height": 844}
    page = await hall.hand_held("", locale="de-DE", color_scheme=look, viewport=size)
    await page.get_by_role("heading", name="Gerät einrichten").wait_for()
    await check_look(page)
    await wedge(page, hall.keys["operator"])
    await page.get_by_role("heading", name="Anmelden").wait_for()
    await check_look(page)
    await picture(page, f"sign-on-de-{look}")
    await hall.order("O1", "TOTE-4711", recipe="Geschenk")
    await hall.order("O2", "TOTE-2")
    await hall.sign_on(page, "anna")
    await page.get_by_role("button", name="Annehmen").wait_for()
    await check_look(page)
    await wedge(page, "TOTE-2")
    await page.get_by_text("Falscher Behälter").wait_for()
    await page.get_by_text("Gescannt: TOTE-2. Gesucht: TOTE-4711.").wait_for()
    await check_look(page)
    await picture(page, f"wrong-de-{look}")
    await wedge(page, "TOTE-4711")
    await page.get_by_role("button", name="Fertig").wait_for()
    await page.locator("#short").click()
    await check_look(page)
    await picture(page, f"short-de-{look}")
    await page.locator("#dialog-short").get_by_role("button", name="nichts da").click()
    await check_look(page)
    await page.locator("#dialog-short .cancel").click()
    for name in ("damaged", "help"):
        await page.locator("#damaged" if name == "damaged" else "#screen-task .help").click()
        await check_look(page)
        await page.locator(f"#dialog-{name} .cancel").click()
    hall.wifi.down()
    await page.locator("#confirm").click()
    await page.get_by_role("heading", name="Noch nicht gesendet: 1").wait_for()
    await page.get_by_text("Keine Verbindung seit").wait_for()
    await check_look(page)
    await picture(page, f"away-de-{look}")
    hall.wifi.up()
    await hall.hurry(page)
    await page.get_by_role("heading", name="TOTE-2").wait_for()
    await page.get_by_role("button", name="Menü").click()
    await check_look(page)
    await page.get_by_role("button", name="English").click()
    await page.get_by_role("button", name="Light" if look == "dark" else "Dark").click()
    await check_look(page)
    await picture(page, f"menu-en-from-{look}")
    await page.reload()
    await page.get_by_role("button", name="Accept").wait_for()
    assert await page.locator("html").get_attribute("lang") == "en"
    assert await page.locator("html").get_attribute("data-look") != look


@in_browser
async def test_the_pictures_of_the_docs(hall: Any, wedge: Any) -> None:
    """A day's screens in English, on a phone and a hand-held: none of them scrolls."""
    for name, size in (("phone", {"width": 390, "height": 844}), ("hand-held", HAND_HELD)):
        await hall.order(f"O-{name}", "TOTE-1")
        page = await hall.hand_held(person="anna", viewport=size)
        await page.get_by_role("heading", name="TOTE-1").wait_for()
        await page.get_by_role("button", name="Accept").wait_for()
        await page.locator("#good").evaluate("(each) => { each.textContent = ''; }")
        await picture(page, f"task-{name}")
        await wedge(page, "TOTE-1")
        await page.get_by_role("button", name="Done").wait_for()
        await check_look(page)
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        await picture(page, f"scanned-{name}")
        await page.locator("#confirm").click()
        await page.get_by_role("heading", name="No task now").wait_for()
        await hall.ask(SignOff("anna"))
        await hall.hurry(page)
        await page.get_by_role("alert").get_by_text("signed off at WS1").wait_for()
    assert hall.state.people == {}


@in_browser
async def test_the_camera_reads_a_code_or_says_why_not(hall: Any) -> None:
    """Debian's Chromium has no BarcodeDetector: what a browser with one would find is put in its place, before the
    real picture of the browser's test camera."""
    await hall.order("O1", "TOTE-1")
    page = await hall.hand_held(person="anna")
    await page.get_by_role("button", name="Camera").click()
    await page.get_by_text("can’t read codes with the camera").wait_for()
    await page.locator("#dialog-camera .cancel").click()
    detector = """window.BarcodeDetector = class { async detect(video) {
      return video.videoWidth > 0 ? [{ rawValue: window.code }] : []; } }; window.code = 'TOTE-7';"""
    page = await hall.hand_held()
    await page.context.add_init_script(detector)
    await page.reload()
    await page.get_by_role("button", name="Camera").wait_for()
    await page.evaluate("window.code = 'anna'")
    await page.get_by_role("button", name="Camera").click()
    await page.get_by_role("button", name="Go on at WS1").click()  # she is signed on with the other device
    await page.get_by_role("heading", name="TOTE-1").wait_for()
    await page.evaluate("window.code = 'TOTE-7'")
    await page.get_by_role("button", name="Camera").click()
    await page.get_by_role("alert").get_by_text("Scanned TOTE-7. Wanted TOTE-1.").wait_for()
    assert not await page.locator("#dialog-camera").is_visible()
    assert await page.evaluate("document.getElementById('camera').srcObject") is None


@in_browser
async def test_the_gateway_lets_the_page_use_the_camera(hall: Any) -> None:
    page = await hall.hand_held()
    answer = await page.request.get(f"{hall.url}/web/work/")
    assert "camera=(self)" in answer.headers["permissions-policy"]


# --- the files ---


def files() -> list[str]:
    return sorted(path.name for path in FOLDER.iterdir() if path.name != "sw.js")


def test_the_service_worker_has_the_files_and_their_version() -> None:
    text = (FOLDER / "sw.js").read_text(encoding="utf-8")
    listed = re.search(r"const FILES = \[(.*?)\];", text, re.DOTALL)
    assert listed is not None
    assert sorted(re.findall(r"'([^']+)'", listed[1])) == files()
    whole = blake2b(digest_size=6)
    for name in files():
        whole.update(f"{name}\0".encode() + (FOLDER / name).read_bytes())
    assert f"const VERSION = '{whole.hexdigest()}';" in text, f"put {whole.hexdigest()} into gateway/web/work/sw.js"


def test_both_languages_say_the_same_things() -> None:
    text = (FOLDER / "words.js").read_text(encoding="utf-8").partition("export const LANGUAGES")[0]
    english, german = (set(re.findall(r"(?:^|[\s,])(\w+): (?=['\[])", part)) for part in text.split("  de: {"))
    assert english == german
    gaps = [re.findall(r"(\w+): '[^']*\{(\w+)\}", part) for part in text.split("  de: {")]
    assert sorted(gaps[0]) == sorted(gaps[1])
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    used = set(re.findall(r'data-(?:t|label|placeholder)="(\w+)"', page))
    for name in files():
        if name.endswith(".js"):
            used |= set(re.findall(r"\bt\('(\w+)'", (FOLDER / name).read_text(encoding="utf-8")))
    assert used - english == set()


FORBIDDEN = re.compile(r"\son\w+=|style=|<style|<script>|javascript:|https?://(?!www\.w3\.org/2000/svg)")


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    for name in files():
        assert FORBIDDEN.search((FOLDER / name).read_text(encoding="utf-8")) is None, name
    assert sum((FOLDER / name).stat().st_size for name in files()) < 100_000
