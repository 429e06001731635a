"""What a follower of the live feed knows: a snapshot, and every diff since merged into it. See docs/live.md."""

from __future__ import annotations

from typing import Any

import msgspec

_HEAD = frozenset({"type", "seq", "at_ms", "epoch", "begins", "more", "topics"})
_decoder = msgspec.json.Decoder(dict[str, Any])


class NotTheFeed(ValueError):
    """A message that the live feed does not send."""


class Picture:
    """`maps`: map → id → entry, as docs/live.md names them, brought up to date in place; `site` is one value.

    `seq` and `at_ms` are the last message's; `is_new`: the last thing that came was a snapshot, so everything may be
    otherwise; `changed`: else, map → ids that have come, changed or gone.
    """

    def __init__(self) -> None:
        self.maps: dict[str, dict[str, Any]] = {}
        self.seq = 0
        self.at_ms = 0
        self.epoch = 0
        self.is_new = False
        self.changed: dict[str, frozenset[str]] = {}
        self._is_whole = False

    @property
    def after(self) -> int | None:
        """Where the feed may go on, None where it has to begin anew."""
        return self.seq if self._is_whole else None

    def of(self, name: str) -> dict[str, Any]:
        """A map, empty where nothing of it was told."""
        return self.maps.get(name, {})

    def take(self, text: str | bytes) -> bool:
        """Do with a message as the feed means it. True when the picture is whole and something of it is new.

        Raises NotTheFeed; the picture must be begun anew then.
        """
        try:
            frame = _decoder.decode(text)
            return self._taken(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            self._is_whole = False
            raise NotTheFeed(f"{str(text)[:80]!r} … is no message of the live feed ({error!r})") from error

    def _taken(self, frame: dict[str, Any]) -> bool:
        kind = frame["type"]
        if kind == "snapshot":
            self._begin(frame)
        elif kind == "diff":
            if not self._is_whole:
                raise KeyError("a diff before the snapshot was whole")
            self.is_new = False
        else:
            # `resumed`, `pong`, and whatever a newer gateway says besides.
            return False
        names = [name for name in frame if name not in _HEAD]
        for name in names:
            self._merge(name, frame[name])
        self.changed = {} if self.is_new else {n: frozenset() if n == "site" else frozenset(frame[n]) for n in names}
        self.seq, self.at_ms = int(frame["seq"]), int(frame["at_ms"])
        return self._is_whole

    def _begin(self, frame: dict[str, Any]) -> None:
        if frame["begins"]:
            self.maps.clear()
        self.epoch = int(frame["epoch"])
        self._is_whole = not frame["more"]
        self.is_new = True

    def _merge(self, name: str, entries: dict[str, Any]) -> None:
        if name == "site":
            self.maps[name] = entries
            return
        known = self.maps.setdefault(name, {})
        for key, entry in entries.items():
            if entry is None:
                known.pop(key, None)
            elif isinstance(entry, dict) and isinstance(known.get(key), dict):
                known[key] = {**known[key], **entry}
            else:
                known[key] = entry
