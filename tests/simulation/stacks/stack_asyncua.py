"""What asyncua needs to live on a loop with virtual time.

Its server reads `time.monotonic` to pace its subscriptions and to age sessions and publish requests, and takes two
seconds to fill its standard address space. Timestamps that it takes from the system clock stay as they are: nobody here
looks at them, and they are as long whatever they say.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import asyncua.common.subscription
import asyncua.server.internal_session
import asyncua.server.internal_subscription
import asyncua.server.uaprocessor
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData, NodeManagementService
from asyncua.server.internal_server import InternalServer
from asyncua.server.standard_address_space import standard_address_space

READ_A_CLOCK = (
    asyncua.common.subscription,
    asyncua.server.internal_session,
    asyncua.server.internal_subscription,
    asyncua.server.uaprocessor,
)


class Branch(MutableMapping[Any, NodeData]):
    """The nodes of one server: its own, and those of the standard, each copied when it is first asked for."""

    def __init__(self, standard: dict[Any, NodeData]) -> None:
        self._standard = standard
        self._own: dict[Any, NodeData] = {}

    def __getitem__(self, key: Any) -> NodeData:
        node = self._own.get(key)
        if node is None:
            node = self._own[key] = _copied(self._standard[key])
        return node

    def __setitem__(self, key: Any, node: NodeData) -> None:
        self._own[key] = node

    def __delitem__(self, key: Any) -> None:
        raise AssertionError(f"a node of a simulated PLC is deleted: {key}")

    def __contains__(self, key: object) -> bool:
        return key in self._own or key in self._standard

    def __iter__(self) -> Iterator[Any]:
        return iter(self._standard.keys() | self._own.keys())

    def __len__(self) -> int:
        return len(self._standard.keys() | self._own.keys())


def _copied(node: NodeData) -> NodeData:
    again = NodeData(node.nodeid)
    again.references = list(node.references)
    again.call = node.call
    for name, attribute in node.attributes.items():
        again.attributes[name] = AttributeValue(attribute.value)
    return again


_standard: dict[Any, NodeData] = {}


def standard_nodes() -> dict[Any, NodeData]:
    """The standard address space, filled once a test process."""
    if not _standard:
        space = AddressSpace()
        # Half of the time of filling it would go into looking for garbage among what stays.
        gc.disable()
        try:
            standard_address_space.fill_address_space(NodeManagementService(space))
        finally:
            gc.enable()
        _standard.update(space._nodes)
    return _standard


async def _load_branch(server: InternalServer, shelf_file: Path | None = None) -> None:
    server.aspace._nodes = Branch(standard_nodes())  # type: ignore[assignment]


@contextmanager
def on_virtual_time(now_s: Callable[[], float]) -> Iterator[None]:
    """While it lasts asyncua reads its time from `now_s`, and nothing is logged: connections that break are what a run
    is for, and the libraries' reports of them say nothing new."""
    clock = SimpleNamespace(monotonic=now_s, time=now_s)
    with ExitStack() as stack:
        stack.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.CRITICAL)
        for module in READ_A_CLOCK:
            stack.enter_context(patch.object(module, "time", clock))
        stack.enter_context(patch.object(InternalServer, "load_standard_address_space", _load_branch))
        yield
