"""Lets the tests here import the small plant and its watchers beside them; the demo site is read once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from gateway.shell.config import load
from gateway.site import Site
from plc_simulators import layout as layouts

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from small_plant import Hall, MakeHall, demo_layout, demo_site

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def site() -> Site:
    return demo_site()


@pytest.fixture
def hall(site: Site) -> Hall:
    """The demo site with its plant, everything connected and at rest."""
    return Hall(site, demo_layout())


@pytest.fixture
def staffed(hall: Hall) -> Hall:
    """The same with a person at every workstation."""
    hall.staff()
    return hall


@pytest.fixture
def make_hall(site: Site) -> MakeHall:
    return lambda **options: Hall(options.pop("site", site), demo_layout(), **options)


@pytest.fixture
def own_hall(tmp_path: Path) -> Callable[[str], Hall]:
    """A plant of a test's own, from the YAML of its site."""

    def make(yaml: str) -> Hall:
        (tmp_path / "site.yaml").write_text(yaml, encoding="utf-8")
        loaded = load(tmp_path, env={})
        assert loaded.site is not None, loaded.problems
        return Hall(loaded.site, layouts.read(tmp_path, {}))

    return make
