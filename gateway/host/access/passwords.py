"""Passwords: which are taken, and how they are kept (argon2id)."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

import argon2

from gateway.host.access.roles import AccessError

T = TypeVar("T")
LENGTH_MIN = 12
LENGTH_MAX = 128
DIFFERENT_MIN = 5
PARALLEL_MAX = 2
WAITING_MAX = 32
# 46 MiB, one pass, one lane: the first of the equivalent settings of OWASP's password storage cheat sheet. One lane,
# because the plant's loop runs on the same cores.
_hasher = argon2.PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
_nobody = _hasher.hash("a password that nobody has: unknown names take as long as known ones")


class TooManyHashes(Exception):
    """More passwords wait to be checked than the machine has time for."""


class Passwords:
    """Hashes off the loop, PARALLEL_MAX at a time; WAITING_MAX more wait, further ones are refused."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(PARALLEL_MAX)
        self._waiting = 0

    async def hash(self, name: str, password: str) -> str:
        """What is kept of a new password of `name`. Raises AccessError where it is no good, TooManyHashes."""
        check(name, password)
        return await self._apart(_hash, password, "")

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether `password` is the one that `kept` was made of. Without `kept` it takes as long, and is wrong. Raises
        TooManyHashes."""
        right = await self._apart(_verify, kept or _nobody, password[: LENGTH_MAX + 1])
        return right and kept is not None

    async def _apart(self, work: Callable[[str, str], T], first: str, second: str) -> T:
        if self._waiting >= WAITING_MAX:
            raise TooManyHashes(f"{WAITING_MAX} logins wait for an answer: try again in a few seconds")
        self._waiting += 1
        try:
            async with self._free:
                return await asyncio.to_thread(work, first, second)
        finally:
            self._waiting -= 1


def check(name: str, password: str) -> None:
    """Raises AccessError for a password that is too easily guessed. What is in it is never told.

    Length counts, composition does not (NIST SP 800-63B-4, 3.1.1.2).
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        reason = f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters, this one has {len(password)}: "
        raise AccessError("invalid", reason + "several words in a row are easy to keep in mind")
    if len(set(password)) < DIFFERENT_MIN:
        reason = f"a password has at least {DIFFERENT_MIN} different characters, this one has {len(set(password))}"
        raise AccessError("invalid", reason)
    if len(name) > 3 and password.casefold().replace(name.casefold(), "") in ("", *"0123456789", "123", "1234"):
        raise AccessError("invalid", "a password must not be the name itself: choose another one")


def _hash(password: str, _: str) -> str:
    return _hasher.hash(_normal(password))


def _verify(kept: str, password: str) -> bool:
    try:
        return _hasher.verify(kept, _normal(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def _normal(password: str) -> bytes:
    """The same characters typed on another keyboard are the same password."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
