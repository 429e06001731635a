"""Replays a journal in a process of its own: prints the digest of its effects and the last snapshot, in hex."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3]))

from small_plant import demo_site, replayed


def main() -> None:
    records = json.loads(Path(sys.argv[1]).read_text())
    journal = [(seq, at_ns, bytes.fromhex(data)) for seq, at_ns, data in records]
    digest, snapshot = replayed(demo_site(), journal, restore_after=int(sys.argv[2]))
    sys.stdout.write(f"{digest.hex()} {snapshot.hex()}\n")


if __name__ == "__main__":
    main()
