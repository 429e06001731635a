"""A door with a clock that the test turns, and a real identity provider on loopback."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import argon2
import pytest

from gateway.host.access import Access, Principal, Refused, passwords
from gateway.host.store import Store
from gateway.site import HttpSpec

sys.path.insert(0, str(Path(__file__).parent))

from identity_provider import Desk, IdentityProvider

AS_IT_IS = passwords._hasher, passwords._nobody
PASSWORD = "correct horse battery staple"
Opened = Callable[..., Awaitable[Access]]


class Time:
    """What the gateway takes for the time of day and for its steady clock."""

    def __init__(self) -> None:
        self.s = 1_800_000_000.0

    def now_ns(self) -> int:
        return int(self.s * 10**9)

    def steady_s(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def opened(tmp_path: Path, time: Time) -> AsyncIterator[Opened]:
    """Open the door on `host.db`, as the gateway does; called again it is another process's, or the next run's."""
    stores: list[Store] = []

    async def open_(spec: HttpSpec | None = None) -> Access:
        stores.append(await Store.open(tmp_path / "host" / "host.db", Access.SCHEMA))
        return await Access.open(stores[-1], spec or HttpSpec(), time.now_ns, time.steady_s)

    yield open_
    for store in stores:
        await store.close()


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """argon2id with 1 MiB in place of 46: hundreds of logins are to take a moment. `dear_hashes` undoes it."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    monkeypatch.setattr(passwords, "_nobody", cheap.hash("nobody's"))


@pytest.fixture
def dear_hashes(cheap_hashes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "_hasher", AS_IT_IS[0])
    monkeypatch.setattr(passwords, "_nobody", AS_IT_IS[1])


@pytest.fixture
async def access(opened: Opened) -> Access:
    """With one account: root, an admin, with PASSWORD."""
    door = await opened()
    await door.accounts.add("root", PASSWORD, "admin")
    return door


@pytest.fixture(scope="session")
def signing_keys() -> tuple[object, object]:
    """Made once: a key of 2,048 bits takes its time."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    first, second = (rsa.generate_private_key(65_537, 2_048) for _ in range(2))
    return first, second


@pytest.fixture(scope="session")
def desk() -> Iterator[Desk]:
    with Desk() as found:
        yield found


@pytest.fixture
def provider(time: Time, desk: Desk, signing_keys: tuple[object, object]) -> IdentityProvider:
    desk.here = IdentityProvider(lambda: int(time.s), signing_keys, desk.url)
    return desk.here


@pytest.fixture
def password() -> str:
    return PASSWORD


@pytest.fixture
def is_refused() -> Callable[[object, int], bool]:
    def check(found: object, status: int) -> bool:
        assert isinstance(found, Refused), found
        return found.status == status and len(found.reason) > 10

    return check


@pytest.fixture
def is_let_in() -> Callable[[object, str, str], bool]:
    def check(found: object, name: str, role: str) -> bool:
        assert isinstance(found, Principal), found
        return (found.name, found.role) == (name, role)

    return check
