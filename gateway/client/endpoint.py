"""Routes as methods, written once: on a `Wire` they return the answer, on an `AsyncWire` a coroutine of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from gateway.client.ask import Ask
from gateway.client.errors import Unexpected
from gateway.client.wire import AsyncWire, Wire

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
W = TypeVar("W", bound=Wire | AsyncWire)


class Page(Protocol[T_co]):
    """Some things of a list. `next`: the cursor of the page behind it, "" on the last one."""

    @property
    def items(self) -> tuple[T_co, ...]: ...

    @property
    def next(self) -> str: ...


PageT = TypeVar("PageT", bound=Page[Any])


class Group(Generic[W]):
    """Routes that belong together, on one wire."""

    def __init__(self, wire: W) -> None:
        self.wire = wire


class Endpoint(Generic[P, T]):
    """A method that describes one request, turned into one that sends it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Ask[T]]) -> None:
        self.describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Wire], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Group[AsyncWire], owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        if group is None:
            return self
        describe = self.describe

        @wraps(describe)
        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return group.wire.ask(describe(group, *args, **kwargs))

        return send


class Pages(Generic[PageT, T]):
    """A list that is fetched page by page as far as it is read."""

    def __init__(self, wire: Wire, first: Ask[PageT]) -> None:
        self._wire = wire
        self._first = first

    def page(self) -> PageT:
        """The first page alone; with its `next` as `cursor` comes the one behind it."""
        return self._wire.ask(self._first)

    def __iter__(self) -> Iterator[T]:
        ask = self._first
        while True:
            page = self._wire.ask(ask)
            yield from page.items
            following = _following(ask, page)
            if following is None:
                return
            ask = following


class AsyncPages(Generic[PageT, T]):
    """The same for a loop."""

    def __init__(self, wire: AsyncWire, first: Ask[PageT]) -> None:
        self._wire = wire
        self._first = first

    async def page(self) -> PageT:
        """The first page alone; with its `next` as `cursor` comes the one behind it."""
        return await self._wire.ask(self._first)

    async def __aiter__(self) -> AsyncIterator[T]:
        ask = self._first
        while True:
            page = await self._wire.ask(ask)
            for item in page.items:
                yield item
            following = _following(ask, page)
            if following is None:
                return
            ask = following


class Listing(Generic[P, PageT, T]):
    """A method that describes the request for a page, turned into one that gives the whole list."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Ask[PageT]], item: type[T]) -> None:
        self.describe = describe
        self.item = item
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Wire], owner: type) -> Callable[P, Pages[PageT, T]]: ...
    @overload
    def __get__(self, group: Group[AsyncWire], owner: type) -> Callable[P, AsyncPages[PageT, T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        if group is None:
            return self
        describe = self.describe

        @wraps(describe)
        def listed(*args: P.args, **kwargs: P.kwargs) -> Any:
            kind = Pages if isinstance(group.wire, Wire) else AsyncPages
            return kind(group.wire, describe(group, *args, **kwargs))

        return listed


def sends(describe: Callable[Concatenate[Any, P], Ask[T]]) -> Endpoint[P, T]:
    """The method sends what it describes."""
    return Endpoint(describe)


def lists(item: type[T]) -> Callable[[Callable[Concatenate[Any, P], Ask[PageT]]], Listing[P, PageT, T]]:
    """The method gives a list of `item`, whose pages it describes."""

    def turned(describe: Callable[Concatenate[Any, P], Ask[PageT]]) -> Listing[P, PageT, T]:
        return Listing(describe, item)

    return turned


def _following(ask: Ask[PageT], page: Page[Any]) -> Ask[PageT] | None:
    """What asks for the page behind this one. A list that does not go on would be read for ever."""
    if not page.next:
        return None
    if page.next == ask.query.get("cursor"):
        raise Unexpected(f"{ask.path} gives the same page again and again: it is no gateway of this version")
    return ask.at(page.next)
