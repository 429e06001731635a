"""Every bench but the long one (`bench.crash`), one after another: `python -m bench [--json FILE]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import check, host, hostile, journal, kernel, modbus, opcua, power, restart, scan, vda5050

BENCHES = {
    "check": check.main,
    "host": host.main,
    "hostile": hostile.main,
    "journal": journal.main,
    "kernel": kernel.main,
    "modbus": modbus.main,
    "opcua": opcua.main,
    "power": power.main,
    "restart": restart.main,
    "scan": scan.main,
    "vda5050": vda5050.main,
}


def main() -> int:
    """Print every table; exit code 1 where a bench could not be run."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to FILE, by bench")
    options = parser.parse_args()
    worst, numbers = 0, {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for name, run in BENCHES.items():
            print(f"--- {name}", flush=True)
            file = Path(scratch) / f"{name}.json"
            worst = max(worst, run(["--json", str(file)]))
            if file.exists():
                numbers[name] = json.loads(file.read_text("utf-8"))
            print(flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return worst


if __name__ == "__main__":
    sys.exit(main())
