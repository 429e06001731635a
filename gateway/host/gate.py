"""What this floor sees of the running gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from gateway.contract import DeviceId, Effect, Ns, Reply, Request, Scalar
from gateway.kernel import Kernel

Listener = Callable[[int, int, Ns, Effect], None]
"""`listener(seq, number, at_ns, effect)`: an effect whose input `seq` is durable, and the how-manieth of that input it
is (0, 1 …): the two name it for ever. Called on the loop, in order; returns at once and never raises."""

Ask = Callable[[str, str, Request], Awaitable[Reply]]


class Gate(Protocol):
    """All of it is for the loop only, and `kernel` is for reading: whatever is to change is asked for."""

    @property
    def kernel(self) -> Kernel:
        """State, site and floor as they are now."""

    @property
    def status(self) -> str:
        """`healthy`, or what is wrong with the gateway."""

    @property
    def telemetry(self) -> Mapping[DeviceId, Mapping[str, Scalar]]:
        """Live values of devices that the kernel does not need."""

    def now_ns(self) -> Ns:
        """Kernel time."""

    async def ask(self, client: str, request_id: str, request: Request) -> Reply:
        """Put a request; the answer comes when it is durable. The same pair of ids is answered the same, once done."""

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every effect from now on; call what is returned to end that."""
