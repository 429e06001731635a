"""The few small messages that clients may send."""

from __future__ import annotations

from typing import Annotated

import msgspec

from gateway.contract import Struct
from gateway.host.live.topics import Topic, chosen

CHARACTERS_MAX = 1_024
MESSAGES_MAX = 30
MESSAGES_S = 10.0
"""More than MESSAGES_MAX within this time are too many: a client has little to say."""


class Resume(Struct, frozen=True, tag="resume"):
    """Go on after diff `after`."""

    after: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Subscribe(Struct, frozen=True, tag="subscribe"):
    """Follow these topics instead; a snapshot of them comes first."""

    topics: Annotated[list[str], msgspec.Meta(max_length=32)]


class Ping(Struct, frozen=True, tag="ping"):
    """Is anybody there? For browsers, which can't send the protocol's own."""


class Following(Struct, frozen=True):
    """A `Subscribe` that was looked at."""

    topics: frozenset[Topic]


_decoder: msgspec.json.Decoder[Resume | Subscribe | Ping] = msgspec.json.Decoder(Resume | Subscribe | Ping)


def read(text: str | None) -> Resume | Following | Ping | str:
    """What a client wants, or why that is nothing it may want."""
    if text is None:
        return "a binary message: send JSON as text"
    if len(text) > CHARACTERS_MAX:
        return f"a message of {len(text)} characters: {CHARACTERS_MAX} at most"
    try:
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return f"not resume, subscribe or ping: {error}"
    if isinstance(found, Subscribe):
        topics = chosen(found.topics)
        return topics if isinstance(topics, str) else Following(topics)
    return found


class Pace:
    """Counts messages of one client."""

    def __init__(self) -> None:
        self._count = 0
        self._since_s = 0.0

    def is_too_fast(self, now_s: float) -> bool:
        """One more message came at `now_s`."""
        if now_s - self._since_s > MESSAGES_S:
            self._count, self._since_s = 0, now_s
        self._count += 1
        return self._count > MESSAGES_MAX
