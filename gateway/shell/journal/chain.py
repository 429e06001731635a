"""The hash chain over the journal's inputs: what makes a changed byte, a missing or a moved record visible.

digest(n) = BLAKE2b-128(digest(n - 1) + seq + at_ns + body), seq and at_ns as 8 bytes, signed, big-endian. The
first link hangs on the site's id, so records of two sites can't be mixed unseen.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b

from gateway.shell.journal.errors import JournalGap

DIGEST_BYTES = 16
BODY_BYTES_MAX = 16 * 2**20
"""One input's body. A host request that large is refused at the door; this is the last fence."""

Record = tuple[int, int, bytes]
"""seq, at_ns, body"""
_HEAD = struct.Struct(">qq")
_INT64_MAX = 2**63 - 1


def genesis(site_id: str) -> bytes:
    """The digest before the first input of a site."""
    return blake2b(b"stellwerk journal " + site_id.encode(), digest_size=DIGEST_BYTES).digest()


def link(previous: bytes, seq: int, at_ns: int, body: bytes) -> bytes:
    """The digest of one record, given that of the record before it."""
    digest = blake2b(previous, digest_size=DIGEST_BYTES)
    digest.update(_HEAD.pack(seq, at_ns))
    digest.update(body)
    return digest.digest()


def checked(records: Sequence[Record]) -> tuple[Record, ...]:
    """`records` as a batch that may be stored: numbered without a gap, 64 bits each, bodies of a sane size.

    Raises `JournalGap` for the numbers and `ValueError` for the rest; both leave the journal as it is.
    """
    batch = tuple(records)
    for place, (seq, at_ns, body) in enumerate(batch):
        if seq != batch[0][0] + place:
            raise JournalGap("input", seq, batch[0][0] + place)
        if not 0 < seq <= _INT64_MAX or not -_INT64_MAX <= at_ns <= _INT64_MAX:
            raise ValueError(f"input {seq} at {at_ns} ns does not fit 64 bits: check the clock and the numbering")
        if len(body) > BODY_BYTES_MAX:
            raise ValueError(f"input {seq} has {len(body)} bytes, at most {BODY_BYTES_MAX} are stored: split it")
    return batch
