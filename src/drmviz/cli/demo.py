"""`drmviz demo`: a simulated fleet, recorded like a real one."""

from __future__ import annotations

import math
import shlex
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drmviz.cli.arguments import labels_of
from drmviz.cli.ending import asked_to_end
from drmviz.cli.saying import say
from drmviz.cli.serving import (
    AllowedHosts,
    Certificate,
    Controls,
    Host,
    InsecureHttp,
    Key,
    NoDashboard,
    Port,
    UrlPrefix,
    page_beside,
    serving_if,
)
from drmviz.configuration import Settings, new_store_path, read_settings
from drmviz.errors import UsageError

if TYPE_CHECKING:
    from drmviz.recorder.demonstration import Demonstrated, Demonstration, Show
    from drmviz.recorder.underway import Begun

_INTERVAL_S = 1.0
_LONGEST_S = 31 * 86_400.0
_TELL_EVERY_S = 10.0


def demo(
    workers: Annotated[int, typer.Option(min=1, max=10_000, metavar="N", help="How many the fleet begins with.")] = 20,
    duration: Annotated[float, typer.Option(metavar="S", help="Seconds until it ends by itself.")] = 1200.0,
    interval: Annotated[str | None, typer.Option(metavar="S", help="Seconds between two samples [default: 1].")] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="The same seed is the same history.")
    ] = 7,
    headless: Annotated[
        bool, typer.Option("--headless", help="As fast as it can: a history that ends now, and nothing to wait for.")
    ] = False,
    store: Annotated[
        Path | None, typer.Option(help="File to record into; a new one in the data folder by default.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the run; repeat for more.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    no_dashboard: NoDashboard = False,
    url_prefix: UrlPrefix = "",
    allowed_host: AllowedHosts = None,
    controls: Controls = False,
    ssl_certfile: Certificate = None,
    ssl_keyfile: Key = None,
    insecure_http: InsecureHttp = False,
) -> None:
    """Record a simulated fleet: waves of tests, growth, shrinkage, crashes, waste."""
    if not 0 < duration <= _LONGEST_S:
        raise UsageError(f"--duration {duration:g} is not a number of seconds above 0 and up to 31 days.")
    page = {
        "host": host,
        "port": port,
        "url_prefix": url_prefix,
        "allowed_hosts": allowed_host,
        "ssl_certfile": ssl_certfile,
        "ssl_keyfile": ssl_keyfile,
        "insecure_http": insecure_http,
    }
    without = "--headless" if headless else "--no-dashboard" if no_dashboard else ""
    serving = serving_if(without, **page)
    settings = read_settings(options={"store": store, "interval": interval})
    from drmviz.recorder.demonstration import Demonstration

    run_id = uuid.uuid4().hex[:12]
    path = settings.store or new_store_path(time.time(), run_id)
    plan = Demonstration(
        store=path.absolute(),
        workers=workers,
        duration_s=duration,
        interval_s=_interval_s(settings),
        seed=seed,
        labels={**settings.labels, **labels_of(label)},
        run_id=run_id,
    )
    with page_beside(serving, has_controls=controls, out=sys.stdout) as begun:
        say(f"recording {workers} simulated workers into {path}")
        done = _headless(plan) if headless else _live(plan, begun)
    for remark in done.remarks:
        say(remark)
    _say_what_next(done, path)


def _interval_s(settings: Settings) -> float:
    return settings.interval_s if "interval" in settings.origins else _INTERVAL_S


def _headless(plan: Demonstration) -> Demonstrated:
    """Record on a clock that is moved instead of waited for, from so long ago that the history ends now."""
    from drmviz.recorder.demonstration import demonstrate
    from drmviz.system import SimulatedClock

    began_s = math.floor((time.time() - plan.duration_s) / plan.interval_s) * plan.interval_s
    clock = SimulatedClock(wall=began_s)

    def wait(seconds: float) -> bool:
        clock.advance(seconds)
        return is_over.is_set()

    with asked_to_end() as is_over:
        return demonstrate(plan, clock=clock, wait=wait, tell=say)


def _live(plan: Demonstration, begun: Begun | None) -> Demonstrated:
    from drmviz.recorder.demonstration import demonstrate
    from drmviz.system import SystemClock

    say(f"it lasts {plan.duration_s:g} s; Ctrl-C ends it earlier")
    with asked_to_end() as is_over:
        return demonstrate(plan, clock=SystemClock(), wait=is_over.wait, show=_telling(), tell=say, begun=begun)


def _telling() -> Show:
    """Return what tells of the fleet on stderr: news at once, and how it stands every few seconds."""
    from drmviz.report.account import Account
    from drmviz.simulation import SimulatedFleet

    accounts: list[Account] = []
    told_at_s = -math.inf

    def tell(fleet: SimulatedFleet) -> None:
        nonlocal told_at_s
        if not accounts:
            accounts.append(Account(fleet.manager))
        lines = accounts[0].news()
        if fleet.now_s - told_at_s > _TELL_EVERY_S - 0.5:
            told_at_s = fleet.now_s
            lines.append(accounts[0].state(fleet.now_s))
        for line in lines:
            print(line, file=sys.stderr, flush=True)

    return tell


def _say_what_next(done: Demonstrated, path: Path) -> None:
    name = shlex.quote(str(path))
    print(f"{done.ticks} ticks, {done.tests} tests, {done.workers} workers at the end: {path}")
    print("Look at it:")
    print(f"  drmviz draw {name} --figure all --format html,png --output-dir pictures")
    print(f"  drmviz decisions {name}")
    print(f"  drmviz report {name} -o report.html")
