#!/usr/bin/env python3
"""A simulated fleet of test workers in real time, and its pictures, renewed while it runs.

    pip install .
    python run_drm_visualization_example.py --duration 1 --workers 10

What happens here to a simulated manager works with any object that has `get_worker_statistics()`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

try:
    from drmviz import DRMVisualization, DRMVizError
    from drmviz.dashboard.listening import Listening, Serving
    from drmviz.report.account import Account
    from drmviz.simulation import SimulatedCloud, SimulatedFleet
except ModuleNotFoundError as error:
    print(f"{error.name} is not installed. In the folder of this file: pip install .", file=sys.stderr)
    sys.exit(1)

SEED = 2
LOOK_EVERY_S = 1.0
PULSE_S = 0.25


def number(least: float, most: float, kind: Callable[[str], float] = float) -> Callable[[str], float]:
    """Return what reads a number from `least` to `most`."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is not a {what} from {least:g} to {most:g}")
        return value

    return read


def address(text: str) -> str:
    """Return a name or address of a host as it stands."""
    if not text or any(character.isspace() or character in "/\\@" for character in text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name or address of a host")
    return text


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A simulated fleet in real time, and its pictures.")
    add = parser.add_argument
    add("--duration", type=number(0.01, 44_640), default=5.0, metavar="MINUTES", help="until it ends (default: 5)")
    add("--workers", type=number(1, 10_000, int), default=20, metavar="N", help="to begin with (default: 20)")
    add(
        "--update-interval",
        type=number(0.1, 86_400),
        default=10.0,
        metavar="SECONDS",
        help="between two renewals of the pictures (default: 10)",
    )
    add("--output-dir", type=Path, default=Path("drm_example"), help="where the pictures go (default: drm_example)")
    add("--host", type=address, default="127.0.0.1", help="where a page is served (default: 127.0.0.1)")
    add("--port", type=number(0, 65_535, int), default=8889, help="and its port (default: 8889; 0 is any)")
    return parser.parse_args(arguments)


@contextmanager
def asked_to_end() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C and SIGTERM set."""
    asked = threading.Event()
    before = {number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def living(fleet: SimulatedFleet) -> Iterator[None]:
    """Let the fleet live in the background: somebody has to run its tests while we draw."""
    is_over = threading.Event()

    def live() -> None:
        while not is_over.wait(PULSE_S):
            fleet.advance()

    thread = threading.Thread(target=live, name="fleet", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class Pictures:
    """The files, renewed in place: there are never more of them, and whoever reads one never sees half of it."""

    def __init__(self, visualization: DRMVisualization, folder: Path, *, since_s: float) -> None:
        self._folder = folder
        self._makers: dict[str, Callable[[Path], Path]] = {
            "dashboard": visualization.create_resource_dashboard,
            "resource_utilization_heatmap": lambda path: visualization.create_resource_utilization_heatmap(
                path, start=since_s
            ),
            "scaling_history": lambda path: visualization.create_scaling_history_visualization(path, start=since_s),
            "resource_allocation": lambda path: visualization.create_resource_allocation_visualization(
                path, start=since_s
            ),
            "resource_efficiency": lambda path: visualization.create_resource_efficiency_visualization(
                path, start=since_s
            ),
            "cloud_resources": lambda path: visualization.create_cloud_resource_visualization(path, start=since_s),
        }

    @property
    def paths(self) -> list[Path]:
        return [self._folder / f"{name}.html" for name in self._makers]

    def renew(self, is_over: Callable[[], bool]) -> None:
        """Draw all of them, unless it is over meanwhile."""
        for path, make in zip(self.paths, self._makers.values(), strict=True):
            if not is_over():
                make(path)


def run(options: argparse.Namespace, is_over: threading.Event) -> None:
    """Let the fleet live for its time, tell what happens, and renew the pictures."""
    interval_s, folder = options.update_interval, options.output_dir
    began_s = time.time()
    port = Listening(Serving(host=options.host, port=int(options.port)))  # held before anything begins, or said at once
    fleet = SimulatedFleet(int(options.workers), seed=SEED)
    with (
        closing(port),
        living(fleet),
        DRMVisualization(
            dynamic_resource_manager=fleet.manager,
            cloud_provider_manager=SimulatedCloud(fleet),
            output_dir=folder,
            update_interval=1.0,
        ) as visualization,
    ):
        pictures, account = Pictures(visualization, folder, since_s=began_s), Account(fleet.manager)
        print(
            f"A simulated fleet of {int(options.workers)} workers for {options.duration:g} min; Ctrl-C ends it earlier."
        )
        print(f"{len(pictures.paths)} pictures in {folder}, renewed every {interval_s:g} s. Begin with")
        print(f"  {pictures.paths[0]}")
        print("or watch it live:")
        print(visualization.start_dashboard_server(port), end="\n\n", flush=True)
        ends_s = time.monotonic() + options.duration * 60
        due_s = 0.0
        while not is_over.is_set():
            now_s = time.monotonic()
            is_last = now_s >= ends_s
            tell(account.news())
            if now_s >= due_s or is_last:
                pictures.renew(is_over.is_set)
                tell([account.state(time.time())])
                due_s = now_s + interval_s
            if is_last:
                break
            is_over.wait(max(0.0, min(LOOK_EVERY_S, due_s - time.monotonic(), ends_s - time.monotonic())))
        tell(account.news())
        if visualization.status.state != "OK":
            print(visualization.status.reason)


def tell(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options(arguments)
    try:
        with asked_to_end() as is_over:
            run(options, is_over)
    except DRMVizError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"\nIt is over. The pictures stay in {options.output_dir}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
