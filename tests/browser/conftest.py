"""A browser, and a demo for it to look at: both once for all tests of this folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

PICTURES = os.environ.get("STELLWERK_PICTURES", "")
"""A folder that keeps the pictures of the documentation; without it they are made and looked at, and not kept."""
SIZES = {"screen": (1920, 1080), "tablet": (1024, 768), "phone": (390, 844)}


def _chromium() -> str:
    """Where it is; skips, or fails with STELLWERK_TEST_REQUIRE=1, where there is none."""
    found = os.environ.get("STELLWERK_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        import playwright  # noqa: F401
    except ImportError:
        found = None
    if found is None:
        reason = (
            "no Chromium or no playwright here: apt-get install chromium; pip install playwright axe-playwright-python"
        )
        if os.environ.get("STELLWERK_TEST_REQUIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def launched() -> Iterator[tuple[Any, Any]]:
    path = _chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        loop = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        yield found, loop
        asyncio._set_running_loop(loop)
        found.close()


@pytest.fixture
def browser(launched: tuple[Any, Any]) -> Iterator[Any]:
    """Playwright's loop runs as long as the browser does, in this thread, and counts as the running one only here:
    other tests of the same process have loops of their own."""
    found, loop = launched
    asyncio._set_running_loop(loop)
    yield found
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def bench(launched: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from demo_hall import Bench

    found = Bench(tmp_path_factory.mktemp("demo"))
    found.start()
    yield found
    found.close()


@pytest.fixture
def visit(browser: Any, bench: Any) -> Iterator[Callable[..., Any]]:
    """`visit("#/alarms", size="phone", who="operator")`: a page of a browser that nobody has used before. What the page
    complains of fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def go(
        where: str = "",
        *,
        size: str = "screen",
        who: str = "",
        dark: bool = False,
        language: str = "en-GB",
        url: str = "",
        quiet: bool = False,
    ) -> Any:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height},
            locale=language,
            color_scheme="dark" if dark else "light",
            has_touch=size != "screen",
        )
        contexts.append(context)
        base = url or bench.url
        if who:
            answer = context.request.post(
                f"{base}/api/v1/session", data={"name": f"the-{who}", "password": "a-long-word-for-tests"}
            )
            assert answer.ok, answer.text()
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if not quiet:
            page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.goto(f"{base}/{where}")
        return page

    yield go
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], Path]:
    """Keeps a picture of a page."""

    def keep(page: Any, name: str) -> Path:
        path = (Path(PICTURES) if PICTURES else tmp_path) / f"live-{name}.png"
        page.screenshot(path=path)
        assert path.stat().st_size > 5_000  # a page with nothing on it packs to less
        return path

    return keep


@pytest.fixture
def assert_accessible() -> Callable[[Any], None]:
    """By axe-core's rules, all of them."""
    from axe_playwright_python.sync_playwright import Axe

    def check(page: Any) -> None:
        found = Axe().run(page)
        told = [
            f"{each['id']}: {each['help']}: {each['nodes'][0]['target']} {each['nodes'][0]['html'][:200]}"
            for each in found.response["violations"]
        ]
        assert not told, "\n".join(told)

    return check


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was measured, whether or not it was good enough."""
    found = [
        f"{name}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name.startswith("live view, ")
    ]
    for line in found:
        terminalreporter.write_line(line)
