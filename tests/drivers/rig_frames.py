"""Hostile bytes from a seeded generator: mutations of what a real device has said, and plain noise."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence

NOISE_BYTES_MAX = 64
EXTREMES = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00")
_JSON_EXTREMES: Sequence[object] = (
    None, True, -1, 0, 1e308, -1e308, 2**31, 2**63, 2**64, "", "x" * 300, "\u0000\ud7ff", [], {}, [[[]]],
    {"a": {"b": []}}, "NaN", 0.1, "ONLINE", [None] * 50,
)  # fmt: skip
_RAW_JSON = ("1e999", "-1e999", "NaN", "Infinity", "1" * 400, '"\\ud800"', "[" * 600, '"\\u0000"')


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """A frame that differs from `frame` in one to three places, is cut short, repeated or grown."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 3)):
        _change(rng, data)
    return bytes(data)


def _change(rng: random.Random, data: bytearray) -> None:
    if not data:
        data += noise(rng)
        return
    at = rng.randrange(len(data))
    match rng.randrange(7):
        case 0:
            data[at] ^= 1 << rng.randrange(8)
        case 1:
            data[at] = rng.randrange(256)
        case 2:
            extreme = rng.choice(EXTREMES)
            data[at : at + len(extreme)] = extreme
        case 3:
            del data[at:]
        case 4:
            data[at:at] = noise(rng)
        case 5:
            del data[at : at + rng.randint(1, 8)]
        case 6:
            data += data[at : at + 200]


def noise(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, NOISE_BYTES_MAX))


def forged(rng: random.Random, seeds: Sequence[bytes], heads: Sequence[bytes]) -> bytes:
    """One frame: a mutation of a seed, noise, or noise behind the beginning of a frame that a reader believes."""
    kind = rng.randrange(10)
    if seeds and kind < 7:
        return mutate(rng, rng.choice(seeds))
    return rng.choice(heads) + noise(rng) if kind < 9 else noise(rng)


def forged_json(rng: random.Random, seed: bytes) -> bytes:
    """A JSON message with one value of another kind or size, a field gone, or broken as text."""
    kind = rng.randrange(10)
    if kind == 0:
        return mutate(rng, seed)
    body = json.loads(seed)
    places: list[Callable[[object], None]] = []
    _places(body, places)
    mark = "\u2603mark"
    rng.choice(places)(mark if kind < 3 else rng.choice(_JSON_EXTREMES))
    text = json.dumps(body)
    if kind < 3:
        text = text.replace(json.dumps(mark), rng.choice(_RAW_JSON))
    return text.encode()


def _places(node: object, found: list[Callable[[object], None]]) -> None:
    """Every place in a JSON document, as something that puts another value there."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    for key in keys:
        found.append(lambda value, key=key: node.__setitem__(key, value))  # type: ignore[misc, attr-defined]
        _places(node[key], found)  # type: ignore[index]


def publish(topic: str, payload: bytes) -> bytes:
    """An MQTT 3.1.1 PUBLISH at QoS 0, as a broker sends it."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + payload
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return b"\x30" + bytes(length) + body
