"""docs/live.md against the code: its tables and its examples are the protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.host.live import MAPS
from gateway.host.live.messages import CHARACTERS_MAX, MESSAGES_MAX, Following, Ping, Resume, read
from gateway.host.live.topics import UNASKED
from gateway.host.live.views import AgvView, LaneView, LoadView, ZoneView

PAGE = (Path(__file__).parents[4] / "docs" / "live.md").read_text(encoding="utf-8")


def test_all_topics_and_maps_are_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|", PAGE, re.MULTILINE)
    assert {topic: tuple(re.findall(r"`(\w+)`", maps)) for topic, maps in rows} == MAPS
    assert "all topics but `reservations`" in PAGE
    assert frozenset(MAPS) - {"reservations"} == UNASKED


def test_the_examples_fit_the_views_and_one_another(screen: Callable[[], Any]) -> None:
    snapshot, diff = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    seen = screen()
    seen.take(snapshot)
    maps = json.loads(snapshot)
    for name, view in (("devices", AgvView), ("zones", ZoneView), ("lanes", LaneView), ("loads", LoadView)):
        for entry in maps[name].values():
            assert entry.keys() - {"type"} == set(view.__struct_fields__)
    seen.take(diff)
    assert seen.maps["devices"]["AGV1"]["node"] == "T4"
    assert seen.maps["devices"]["AGV1"]["horizon"] == ["T5", "R4"]


def test_the_messages_of_clients_are_understood() -> None:
    said = re.findall(r"^\| `(\{.*?\})` \|", PAGE, re.MULTILINE)
    assert [type(read(text)) for text in said] == [Resume, Following, Ping]
    assert f"{CHARACTERS_MAX:,} characters at the most, and there may be {MESSAGES_MAX} of them" in PAGE
