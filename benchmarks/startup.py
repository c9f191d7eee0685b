"""How long importing the package and asking the command line for help take, beside `import torch`.

Every run is a process of its own; medians of n runs, taken in turns.

    python benchmarks/startup.py --runs 9
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMAND = "import sys; from lrp_engine.cli import main; sys.argv[0] = 'lrp'; main()"
CANDIDATES: dict[str, list[str]] = {
    "import torch": ["import torch"],
    "import lrp_engine; lrp_engine.Engine": ["import lrp_engine; lrp_engine.Engine"],
    "lrp --help": [COMMAND, "--help"],
    "lrp presets": [COMMAND, "presets"],
}


def seconds(code: str, *arguments: str) -> float:
    """Wall time of one fresh interpreter that runs some code."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def medians(runs: int) -> dict[str, float]:
    """The median of every candidate; the first round, which fills the disk's cache, is dropped."""
    times: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(runs + 1):
        for name, command in CANDIDATES.items():
            times[name].append(seconds(*command))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    found = medians(parser.parse_args().runs)
    base = found["import torch"]
    print(f"| start | seconds | / {next(iter(CANDIDATES))} |")
    print("|---|---:|---:|")
    for name, median in found.items():
        print(f"| {name} | {median:.2f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
