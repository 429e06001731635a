"""The two ways to the gateway: one that waits, one for a loop. All they know is how to try once and how to sleep."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

import httpx

from gateway.client.ask import Ask
from gateway.client.exchange import BYTES_MAX, Answer, Failure, converse, failure_of, too_long
from gateway.client.place import Place

T = TypeVar("T")


class Wire:
    """For any thread; connections are kept."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._http = httpx.Client(**place.options())

    def ask(self, ask: Ask[T]) -> T:
        """Send it, again where that is safe. Raises Refused, NotReached or Unexpected."""
        talk = converse(ask, self.place.url, self.place.retries, time.monotonic)
        wait_s = next(talk)
        while True:
            time.sleep(wait_s)
            outcome = self._once(ask)
            try:
                wait_s = talk.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    def close(self) -> None:
        self._http.close()

    def _once(self, ask: Ask[T]) -> Answer | Failure:
        try:
            with self._http.stream(
                ask.method, ask.path, params=dict(ask.query), headers=ask.headers, content=ask.body or None
            ) as response:
                data = bytearray()
                for chunk in response.iter_raw():
                    data += chunk
                    if len(data) > BYTES_MAX:
                        return too_long()
                return _answer(response, data)
        except httpx.TransportError as error:
            return failure_of(error)


class AsyncWire:
    """For one loop. A call that is cancelled may have been done all the same."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._http = httpx.AsyncClient(**place.options())

    async def ask(self, ask: Ask[T]) -> T:
        """Send it, again where that is safe. Raises Refused, NotReached or Unexpected."""
        talk = converse(ask, self.place.url, self.place.retries, time.monotonic)
        wait_s = next(talk)
        while True:
            await asyncio.sleep(wait_s)
            outcome = await self._once(ask)
            try:
                wait_s = talk.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    async def close(self) -> None:
        await self._http.aclose()

    async def _once(self, ask: Ask[T]) -> Answer | Failure:
        try:
            async with self._http.stream(
                ask.method, ask.path, params=dict(ask.query), headers=ask.headers, content=ask.body or None
            ) as response:
                data = bytearray()
                async for chunk in response.aiter_raw():
                    data += chunk
                    if len(data) > BYTES_MAX:
                        return too_long()
                return _answer(response, data)
        except httpx.TransportError as error:
            return failure_of(error)


def _answer(response: httpx.Response, data: bytearray) -> Answer:
    return Answer(response.status_code, dict(response.headers), bytes(data))
