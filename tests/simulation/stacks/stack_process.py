"""A process that can be killed at any await though it shares the loop with everything else.

All tasks that are begun in its context are its own. Killed means: from that moment not one more line of theirs runs
that could reach the outside. Their connections are closed as an operating system closes them, and what they hang in is
closed in one go: `finally` blocks run up to their first await at most, without sockets and without a journal.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from stack_net import OWNER, Plug

CLOSE_TRIES_MAX = 50


class Process:
    """One life. `died` is called at the moment of death."""

    def __init__(self, died: Callable[[], None] = lambda: None) -> None:
        self.dead = False
        self.transports: list[asyncio.BaseTransport] = []
        self.sockets: list[Plug] = []
        self.last_words: list[str] = []
        """What went wrong while the parts were closed; nobody is left to hear it."""
        self.steps = 0
        self._died = died
        self._dies_at: int | None = None
        self._parts: dict[asyncio.Task[Any], Part] = {}
        self._context = contextvars.copy_context()
        self._context.run(OWNER.set, self)

    def start(self, main: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin `main`; it and all that it begins belong to this process."""
        return asyncio.get_running_loop().create_task(main, name=name, context=self._context)

    def kill(self, steps: int = 0) -> None:
        """Die now, or at the await that one of the tasks reaches `steps` steps from now."""
        if self.dead:
            return
        if steps:
            self._dies_at = self.steps + steps
            return
        self.dead = True
        self._died()
        for transport in self.transports:
            if not transport.is_closing():
                # The operating system closes the connection; nobody in here hears of it any more.
                transport.set_protocol(asyncio.Protocol())
                transport.abort()  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_soon(self._bury, context=self._context.copy())

    def stepped(self) -> None:
        self.steps += 1
        if self._dies_at is not None and self.steps >= self._dies_at:
            self._dies_at = None
            self.kill()

    def adopt(self, task: asyncio.Task[Any], part: Part) -> None:
        self._parts[task] = part
        task.add_done_callback(self._ended)

    def left(self) -> list[asyncio.Task[Any]]:
        """Tasks that are not done."""
        return [task for task in self._parts if not task.done()]

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._parts.pop(task, None)

    def _bury(self) -> None:
        for task, part in list(self._parts.items()):
            try:
                part.bury()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                # Its fate: kept in last_words; a killed process has nobody to tell it to.
                self.last_words.append(f"{task.get_name()}: {error!r}")
            task.cancel()
        for socket in self.sockets:
            if not socket.is_closed():
                socket.close()


class Part(Coroutine[Any, Any, Any]):
    """A coroutine of a process: steps as long as the process lives, and not once more."""

    def __init__(self, owner: Process, inner: Coroutine[Any, Any, Any]) -> None:
        self._owner = owner
        self._inner = inner

    def send(self, value: Any) -> Any:
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        if self._owner.dead:
            raise asyncio.CancelledError
        awaited = step(*arguments)
        self._owner.stepped()
        if self._owner.dead:
            raise asyncio.CancelledError
        return awaited

    def bury(self) -> None:
        """Close the coroutine whatever its `finally` blocks still want to wait for."""
        _close(self._inner)


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    """From the inside out: an outer one could take its inner one's refusal to end for an error and go on without it."""
    for _ in range(CLOSE_TRIES_MAX):
        inner = getattr(coroutine, "cr_await", None)
        try:
            if asyncio.iscoroutine(inner):
                _close(inner)
            coroutine.close()
        except RuntimeError as error:
            if "ignored GeneratorExit" not in str(error):
                raise
            continue
        return
    raise AssertionError(f"{coroutine} still waits after {CLOSE_TRIES_MAX} times")


def task_factory(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    """Tasks begun in a process's context are adopted by it."""
    owner = OWNER.get() if context is None else context.get(OWNER)
    if not isinstance(owner, Process):
        return asyncio.Task(coroutine, loop=loop, context=context)
    if owner.dead:
        coroutine.close()  # it has not begun, and never will
    part = Part(owner, coroutine)
    task: asyncio.Task[Any] = asyncio.Task(part, loop=loop, context=context)
    owner.adopt(task, part)
    return task
