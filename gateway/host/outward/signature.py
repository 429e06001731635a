"""How a host knows that a webhook is ours, and which attempt it is: Standard Webhooks 1.0, `v1` (HMAC-SHA256)."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from pathlib import Path

PREFIX = "whsec_"
BYTES_MIN, BYTES_MAX = 24, 64
SECRETS_MAX = 2
FILE_BYTES_MAX = 4_096
_HOW = "make one with: echo whsec_$(openssl rand -base64 32)"


class NoSecret(Exception):
    """The file holds no secrets that can be used; the text is for an operator and shows none of what is in it."""


def read_secrets(file: str) -> tuple[bytes, ...]:
    """The secrets in `file`, one a line; empty lines and those that begin with # are passed over. Raises NoSecret."""
    try:
        with Path(file).open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise NoSecret(f"the secret file {file} is larger than {FILE_BYTES_MAX} bytes: is it the right one?")
        lines = [line.strip() for line in data.decode("ascii").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise NoSecret(f"the secret file {file} can't be read ({why}): correct `secret_file`, or its rights") from None
    lines = [line for line in lines if line and not line.startswith("#")]
    if not 1 <= len(lines) <= SECRETS_MAX:
        raise NoSecret(f"the secret file {file} must hold one secret, or two while it is changed; it has {len(lines)}")
    return tuple(_secret(line, file, number) for number, line in enumerate(lines, 1))


def _secret(line: str, file: str, number: int) -> bytes:
    try:
        secret = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not line.startswith(PREFIX) or not BYTES_MIN <= len(secret) <= BYTES_MAX:
        raise NoSecret(
            f"secret {number} in {file} must be {PREFIX} and {BYTES_MIN} to {BYTES_MAX} bytes in base64; {_HOW}"
        )
    return secret


def sign(secrets: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `Webhook-Signature`: one signature a secret, the newest first, with a blank between."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp_s, body)
    digests = (base64.b64encode(hmac.digest(secret, content, "sha256")).decode() for secret in secrets)
    return " ".join(f"v1,{digest}" for digest in digests)
