"""Following the live feed over a WebSocket, through cuts and restarts of the gateway."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from gateway.client.ask import PREFIX
from gateway.client.errors import ClientError, NotReached, Problem, Refused, Unexpected
from gateway.client.exchange import AGAIN, pause_s, problem_of
from gateway.client.picture import NotTheFeed, Picture
from gateway.client.place import CONNECT_S_MAX, Place

SILENCE_S_MAX = 5.0
"""The gateway says something each second: whoever hears nothing for so long connects anew."""
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
CLOSE_S_MAX = 1.0
_BROKEN_RULE = 1008


async def follow(place: Place, topics: Sequence[str] | None, away_s_max: float | None) -> AsyncIterator[Picture]:
    """The picture, each time that something of it is new: one and the same object, brought up to date.

    Connects anew after cuts and goes on where it was. Raises Refused where it may not follow, NotReached after
    `away_s_max` seconds without the gateway (None: never), Unexpected for what is no live feed.
    """
    picture = Picture()
    gone_s, failures = 0.0, 0
    while True:
        try:
            async with aclosing(_connected(place, topics, picture)) as news:
                async for _ in news:
                    failures = 0
                    yield picture
        except _Cut as cut:
            failures += 1
            if failures == 1:
                gone_s = time.monotonic()
            wait_s = pause_s(place.retries, failures)
            if away_s_max is not None and time.monotonic() - gone_s + wait_s > away_s_max:
                raise cut.error from None
            await asyncio.sleep(wait_s)


class _Cut(Exception):
    """The connection has ended or did not come about, in a way that passes. `error`: what it is if it does not."""

    def __init__(self, error: ClientError) -> None:
        super().__init__(str(error))
        self.error = error


async def _connected(place: Place, topics: Sequence[str] | None, picture: Picture) -> AsyncGenerator[None, None]:
    """One connection: yields when something is new, ends with _Cut or a lasting error."""
    try:
        connecting = connect(
            _address(place, topics, picture.after),
            additional_headers=place.headers,
            compression=None,
            proxy=None,
            open_timeout=CONNECT_S_MAX,
            close_timeout=CLOSE_S_MAX,
            max_size=MESSAGE_BYTES_MAX,
            **_tls(place),
        )
        async with connecting as socket:
            while True:
                async with asyncio.timeout(SILENCE_S_MAX):
                    text = await socket.recv()
                if picture.take(text):
                    yield
    except InvalidStatus as error:
        raise _turned_away(place, error) from error
    except ConnectionClosed as error:
        raise _closed(place, error) from error
    except ssl.SSLCertVerificationError as error:
        text = f"{place.url} is not reached: its certificate is not trusted ({error.verify_message}): hand in `ca_file`"
        raise NotReached(text) from error
    except NotTheFeed as error:
        raise Unexpected(f"{place.url}: {error}") from error
    except TimeoutError as error:
        raise _Cut(NotReached(f"{place.url} says nothing")) from error
    except (OSError, InvalidHandshake, WebSocketException) as error:
        raise _Cut(NotReached(f"{place.url} is not reached: {error or type(error).__name__}")) from error


def _address(place: Place, topics: Sequence[str] | None, after: int | None) -> str:
    query: dict[str, str] = {}
    if topics is not None:
        query["topics"] = ",".join(topics)
    if after is not None:
        query["after"] = str(after)
    base = "ws" + place.url.rstrip("/").removeprefix("http")
    return f"{base}{PREFIX}/live" + (f"?{urlencode(query)}" if query else "")


def _tls(place: Place) -> dict[str, Any]:
    context = place.context()
    return {} if context is None else {"ssl": context}


def _turned_away(place: Place, error: InvalidStatus) -> Exception:
    response = error.response
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    problem = problem_of(headers, bytes(response.body or b""))
    refused: ClientError = (
        Refused(problem)
        if problem is not None
        else Unexpected(f"{place.url} has no live feed: it answers {response.status_code}", status=response.status_code)
    )
    return _Cut(refused) if response.status_code in AGAIN else refused


def _closed(place: Place, error: ConnectionClosed) -> Exception:
    code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (0, "")
    if code == _BROKEN_RULE:
        way_on = "follow topics that docs/live.md names"
        return Refused(Problem(status=422, detail=reason, code="invalid", next=way_on, title="Can't be followed"))
    return _Cut(NotReached(f"{place.url} has closed the live feed: {reason or code or 'no reason given'}"))
