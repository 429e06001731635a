"""Secrets that the gateway makes up itself: keys, session cookies, links.

Each has 256 random bits, so nobody finds it by trying, and one pass of a fast hash is as good as a slow one
(NIST SP 800-63B-4, 3.1.2, asks for a slow one only where people choose the secret). Only the hash is kept.
"""

from __future__ import annotations

import secrets
from hashlib import blake2b

SECRET_BYTES = 32
ID_BYTES = 6
KEY_PREFIX = "swk_"
TOKEN_LENGTH_MAX = 200


def new_token() -> str:
    """64 characters, 256 bits."""
    return secrets.token_hex(SECRET_BYTES)


def new_key() -> tuple[str, str]:
    """An API key: its public id, and the whole text `swk_<id>_<secret>`."""
    key_id = secrets.token_hex(ID_BYTES)
    return key_id, f"{KEY_PREFIX}{key_id}_{new_token()}"


def id_of(key: str) -> str:
    """The public id within a key's text, "" where it is no key."""
    if len(key) > TOKEN_LENGTH_MAX or not key.startswith(KEY_PREFIX):
        return ""
    return key[len(KEY_PREFIX) :].partition("_")[0]


def digest(token: str) -> bytes:
    """What is kept of a token in its place; 32 bytes."""
    return blake2b(token[: TOKEN_LENGTH_MAX + 1].encode("utf-8", "surrogatepass"), digest_size=32).digest()


def csrf_of(session: str) -> str:
    """What a page must send along with the cookie to change something: another site can send the cookie but not know
    it, so it can't compute this either."""
    return blake2b(b"csrf", key=digest(session), digest_size=32).hexdigest()
