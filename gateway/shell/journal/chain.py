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
Drawn = tuple[int, int, bytes]
"""first and last number of a batch of inputs, and the digest of the effects that they drew"""
_HEAD = struct.Struct(">qq")
_INT64_MAX = 2**63 - 1


def genesis(site_id: str) -> bytes:
    """The digest before the first input of a site."""
    return blake2b(b"stellwerk journal " + site_id.encode(), digest_size=DIGEST_BYTES).digest()


def link(previous: bytes, seq: int, at_ns: int, body: bytes) -> bytes:
    """The digest of one record, given that of the record before it."""
    return blake2b(previous + _HEAD.pack(seq, at_ns) + body, digest_size=DIGEST_BYTES).digest()


def follow(previous: bytes, expected: int, rows: Sequence[tuple[int, int, bytes, bytes]]) -> int:
    """How many of `rows` (a record and its stored digest) are numbered from `expected` on and hang on `previous`, one
    on the other. The same as `link`, without a call for each: a start goes through a hundred thousand of them."""
    pack, expected_seq = _HEAD.pack, expected
    for seq, at_ns, body, stored in rows:
        if (
            seq != expected_seq
            or blake2b(previous + pack(seq, at_ns) + body, digest_size=DIGEST_BYTES).digest() != stored
        ):
            break
        previous, expected_seq = stored, expected_seq + 1
    return expected_seq - expected


def seal(first: bytes, seq: int, at_ns: int, state: bytes, state_format: int, input_digest: bytes | None) -> bytes:
    """The digest over a snapshot; `first` is the site's genesis, `input_digest` that of the last input contained.

    Format 0 is that of layout 1, which knew neither of the two and left both out.
    """
    if state_format == 0 or input_digest is None:
        return link(first, seq, at_ns, state)
    return link(link(input_digest, state_format, 0, first), seq, at_ns, state)


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


def checked_drawn(drawn: Sequence[Drawn]) -> tuple[Drawn, ...]:
    """`drawn` as rows that may be stored. ValueError for numbers that are none or digests of another size."""
    rows = tuple(drawn)
    for first, last, digest in rows:
        if not 0 < first <= last <= _INT64_MAX or len(digest) != DIGEST_BYTES:
            raise ValueError(f"what the inputs {first} to {last} drew, in {len(digest)} bytes, can't be stored")
    return rows
