"""What the benchmarks share: the photo, fair timing, and the table."""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np

from cracklib.synthesis import render_crack, render_wall
from cracklib.types import Pixels

PHOTO_SIZE = (1200, 1600)

Call = Callable[[], object]


def render_photo(seed: int = 0) -> Pixels:
    """A cracked concrete wall, uint8 RGB of ``PHOTO_SIZE``."""
    rng = np.random.default_rng(seed)
    pixels, _ = render_crack(render_wall(rng, PHOTO_SIZE, "concrete"), rng, "branching")
    return pixels


def median_seconds(contestants: Mapping[str, Callable[[], Call]], rounds: int) -> dict[str, float]:
    """Median seconds of a call of each contestant, a top-level function that returns the call.

    Each has a process of its own, so that one library's idle threads can't slow another's; they
    take turns, so that a change in the machine's load meets all alike. The first call is not timed.
    """
    spawn = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(ProcessPoolExecutor(1, spawn, _prepare, (build,)))
            for name, build in contestants.items()
        }
        for _ in range(1 + rounds):
            for name, process in processes.items():
                seconds[name].append(process.submit(_time_call).result())
    return {name: median(values[1:]) for name, values in seconds.items()}


_call: Call


def _prepare(build: Callable[[], Call]) -> None:
    global _call
    _call = build()


def _time_call() -> float:
    start = time.perf_counter()
    _call()
    return time.perf_counter() - start


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table and, below it, the processor it was measured on."""
    for cells in (header, ["---", *["---:"] * (len(header) - 1)], *rows):
        print("|", " | ".join(cells), "|")
    print(f"\n{os.cpu_count()} cores: {_processor()}")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
