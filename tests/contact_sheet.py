"""`python -m tests.contact_sheet OUTDIR`: every figure in every state, as both libraries draw it, to be looked at."""

from __future__ import annotations

import dataclasses
import io
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from drmviz.figures import FIGURES
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.figures.saving import content, write
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import Action, FleetChange, ScalingDecision
from drmviz.model.metrics import FloatArray
from drmviz.model.resources import WorkerCapacity
from drmviz.model.run import Run
from drmviz.model.workers import Worker
from tests.browsers import chromium
from tests.building import START_S, ran, recorded

THEMES: tuple[ThemeName, ...] = ("light", "dark")


SIZES = (
    WorkerCapacity(cpu_millicores=4000, memory_bytes=16 * 2**30, gpu_count=0),
    WorkerCapacity(cpu_millicores=16000, memory_bytes=64 * 2**30, gpu_count=0),
    WorkerCapacity(cpu_millicores=8000, memory_bytes=32 * 2**30, gpu_count=1, gpu_memory_bytes=24 * 2**30),
)
ACTIONS: tuple[Action, ...] = ("scale_up", "maintain", "scale_down", "maintain")
PROVIDERS = ("on-premises", "aws", "gcp")
POLICY = {
    "target_utilization": 0.7, "scale_up_threshold": 0.8, "scale_down_threshold": 0.3, "evaluation_window_s": 90,
    "scale_up_cooldown_s": 120, "scale_down_cooldown_s": 240, "min_workers": 1, "max_workers": 40,
}  # fmt: skip


def fleet(
    workers: int,
    columns: int,
    *,
    gpu: bool = True,
    gaps: bool = False,
    reserved: bool = True,
    decisions: int = 8,
    cloud: bool = True,
    names: list[str] | None = None,
    seed: int = 1,
) -> Run:
    """Return a simulated fleet with tests; with gaps some cells are not measured and some workers come and go."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, max(2, columns))[:columns]
    load = 0.55 + 0.3 * np.exp(-(((time - 0.2) / 0.1) ** 2)) - 0.35 * np.exp(-(((time - 0.6) / 0.12) ** 2))
    names = names or [f"gw{i}" for i in range(workers)]
    shape = (workers, columns)
    capacity = {name: SIZES[(row % 3) if gpu else (row % 2)] for row, name in enumerate(names)}
    has_gpu = np.array([bool(capacity[name].gpu_count) for name in names])

    def metric(bias: float) -> FloatArray:
        wander = np.cumsum(random.normal(0, 0.02, shape), axis=1) + random.normal(bias, 0.08, (workers, 1))
        return np.clip(load + wander + random.normal(0, 0.03, shape), 0, 1.4).astype(np.float32)

    run = recorded(
        {name: [0.0] * columns for name in names},
        width_s=5.0,
        title=f"pytest -n {workers}",
        capacity=capacity,
        labels={n: {"provider": PROVIDERS[i % 3], "instance_type": f"type-{i % 4}"} for i, n in enumerate(names)},
        scaling_policy=POLICY if decisions else None,
    )
    grids = dict(run.grids)
    wanted = {"cpu_ratio": 0.0, "memory_ratio": -0.2, **({"gpu_ratio": -0.1} if gpu else {})}
    alive = np.ones(shape, dtype=np.bool_)
    changes = []
    if gaps:
        for row in range(1, workers, 4):
            joined = int(columns * random.uniform(0.1, 0.5))
            alive[row, :joined] = False
            changes.append(FleetChange(at_s=START_S + joined * 5, worker=names[row], change="joined"))
        for row in range(2, workers, 5):
            left = int(columns * random.uniform(0.6, 0.95))
            alive[row, left:] = False
            why = "crashed" if row % 2 else "idle"
            changes.append(FleetChange(at_s=START_S + left * 5, worker=names[row], change="left", why=why))
    for name, bias in wanted.items():
        values = metric(bias)
        if reserved:
            granted = np.clip(np.round((values + random.uniform(0, 0.5, (workers, 1))) * 4) / 4, 0, 1)
            granted = np.where(has_gpu[:, None], granted, np.nan) if name == "gpu_ratio" else granted
            stem = name.removesuffix("_ratio") + "_reserved_ratio"
            grids[stem, "mean"] = grids[stem, "max"] = np.where(alive, granted, np.nan)  # type: ignore[index]
        if name == "gpu_ratio":
            values[~has_gpu] = np.nan
        if gaps:
            values[::3, columns // 2 : columns // 2 + columns // 8] = np.nan
        grids[name, "mean"] = grids[name, "max"] = np.where(alive, values, np.nan)  # type: ignore[index]
    tasks = []
    for row in range(workers):
        at = float(random.uniform(0, 3))
        while (length := float(random.lognormal(2.0, 1.2))) + at < columns * 5:
            outcome = str(
                random.choice(["passed", "skipped", "failed", "error", "crashed"], p=[0.9, 0.06, 0.02, 0.01, 0.01])
            )
            name = f"tests/unit/test_module_{int(at) % 7}.py::TestThing::test_behaves[{int(at)}-{row}]"
            memory = int(random.lognormal(16, 2))
            tasks.append(ran(name, names[row], start=at, end=at + length, outcome=outcome, memory_bytes=memory))
            at += length + 0.05
    changes.sort(key=lambda change: change.at_s)
    return dataclasses.replace(
        run,
        grids=grids,
        alive=alive,
        workers=tuple(lived(worker, changes) for worker in run.workers) if changes else run.workers,
        tasks=tuple(tasks),
        changes=tuple(changes),
        decisions=decided(decisions, columns * 5.0, names, seed=seed),
        cloud=clouded(workers, columns * 5.0) if cloud else (),
    )


def lived(worker: Worker, changes: list[FleetChange]) -> Worker:
    """Return the worker with the one life that these changes give it."""
    life = worker.latest
    for change in changes:
        if change.worker == worker.id and change.change == "joined":
            life = dataclasses.replace(life, joined_at_s=change.at_s, why_joined=change.why)
        elif change.worker == worker.id:
            life = dataclasses.replace(life, left_at_s=change.at_s, why_left=change.why)
    return dataclasses.replace(worker, incarnations=(life,))


def decided(number: int, span_s: float, names: list[str], *, seed: int = 1) -> tuple[ScalingDecision, ...]:
    """Return decisions spread over the window: up, down and maintain in turn."""
    random = np.random.default_rng(seed)
    made = []
    for i, at_s in enumerate(np.sort(random.uniform(0, span_s, number)).tolist()):
        action = ACTIONS[i % 4]
        count = int(random.integers(1, 5)) if action != "maintain" else 0
        value, threshold = {"scale_up": (0.86, 0.8), "scale_down": (0.21, 0.3)}.get(action, (0.55, None))
        reason = {
            "scale_up": f"CPU 86 % over 80 % for 90 s: {count} more workers bring it to 70 %",
            "scale_down": f"CPU 21 % under 30 % for 90 s: {count} idle workers can go",
        }.get(action, "CPU 55 % lies between 30 % and 80 %")
        made.append(
            ScalingDecision(
                action=action, decided_at_s=START_S + at_s, count=count, reason=reason, metric="cpu_ratio",
                value=value, threshold=threshold, window_s=90.0, cooldown_remaining_s=0.0 if count else 45.0,
                worker_ids=tuple(names[:count]) if action == "scale_down" else (), worker_type="cpu",
                utilization=value,
            )
        )  # fmt: skip
    return tuple(made)


def clouded(workers: int, span_s: float) -> tuple[CloudUsage, ...]:
    """Return what three providers ran and cost: one grows, one shrinks, one cannot be asked for a while."""
    usage = []
    for place, provider in enumerate(PROVIDERS):
        many = len(range(place, workers, 3))
        for step in range(4):
            now = max(0, many + (step - 1) * (place - 1))
            asked = not (place == 2 and step == 2)
            usage.append(
                CloudUsage(
                    at_s=START_S + step * span_s / 4, provider=provider, workers=now if asked else None,
                    per_hour=Decimal("0.412") * (now + place) if asked and now + place else None,
                    currency="USD", basis="list" if place else "contracted",
                    instance_types=(("c7i.4xlarge", now),) if asked and now else (),
                    problem="" if asked else "get_active_workers: TimeoutError: no answer",
                )
            )  # fmt: skip
    return tuple(sorted(usage, key=lambda observed: observed.at_s))


def hostile() -> Run:
    """Return a run whose names try to break out."""
    names = (
        "</script><script>alert(1)</script>", "<b>bold</b><a href='http://evil.example'>x</a>", "🧪 عربى \u202eabc",
        "n" * 10_000, "$x^2$ %{y} \x1b[31m\n\0end", "__proto__",
    )  # fmt: skip
    values = {name: [0.1 * row, None, 0.5, 1.2] for row, name in enumerate(names)}
    tasks = [ran(f"test[{name}]", name, start=0, end=1 + row, outcome="failed") for row, name in enumerate(names)]
    changes = [FleetChange(at_s=START_S + 2, worker=name, change="left", why=name[:40]) for name in names]
    decisions = [
        ScalingDecision(action="scale_up", decided_at_s=START_S + row, count=1, reason=name, metric=name[:40],
                        worker_ids=(name,), worker_type=name[:40])
        for row, name in enumerate(names)
    ]  # fmt: skip
    return recorded(
        values,
        more={"cpu_reserved_ratio": {name: [0.5, 0.5, 0.5, 0.5] for name in names}},
        tasks=tasks,
        changes=changes,
        decisions=decisions,
        cloud=[CloudUsage(at_s=START_S, provider=name[:200], workers=2, per_hour=Decimal("0.1"), currency=name[:9],
                          instance_types=((name[:99], 2),), problem=name[:99]) for name in names],
        labels={name: {"provider": name[:200], "instance_type": name[:200]} for name in names},
        title="<img src=x onerror=alert(1)>",
        notes=["</title>"],
    )  # fmt: skip


def reservations_only() -> Run:
    """Return a fleet of which nothing was measured and only reservations are known."""
    run = fleet(6, 60)
    unknown = np.full(run.alive.shape, np.nan, dtype=np.float32)
    used = ("cpu_ratio", "memory_ratio", "gpu_ratio")
    grids = {key: unknown if key[0] in used else grid for key, grid in run.grids.items()}
    return dataclasses.replace(run, grids=grids)


def states() -> dict[str, Run]:
    """Return the runs that a picture must be right for."""
    empty = recorded({})
    return {
        "1 worker": fleet(1, 120),
        "3 workers": fleet(3, 120),
        "6 workers, long names": fleet(
            6, 120, names=[f"ip-10-0-{i}-217.eu-central-1.compute.internal/xdist/gw{i}" for i in range(6)]
        ),
        "30 workers, gaps and absences": fleet(30, 120, gaps=True),
        "1000 workers": fleet(1000, 600, gaps=True),
        "one tick": fleet(3, 1),
        "no GPU": fleet(8, 60, gpu=False),
        "no reservations": fleet(8, 60, reserved=False, decisions=0, cloud=False),
        "reservations only": reservations_only(),
        "200 decisions": fleet(12, 240, decisions=200, gaps=True),
        "hostile names": hostile(),
        "empty": Run.empty(empty.header),
    }


def shot(browser: Browser, page_path: Path, *, width: int) -> bytes:
    """Return what a browser shows of a written page."""
    page = browser.new_page(viewport={"width": width, "height": 2200})
    page.goto(page_path.as_uri())
    page.wait_for_selector("[data-drawn]")
    picture = page.locator("body").screenshot()
    page.close()
    return picture


def sheet(pictures: dict[str, bytes], path: Path, *, columns: int = 2, width: int = 900) -> None:
    """Put pictures under their names, column by column where there is room."""
    shown = []
    for name, picture in pictures.items():
        image = Image.open(io.BytesIO(picture)).convert("RGB")
        shown.append((name, image.resize((width, round(image.height * width / image.width)))))
    heights = [0] * columns
    places = []
    for name, image in shown:
        column = heights.index(min(heights))
        places.append((name, image, column * (width + 12), heights[column]))
        heights[column] += image.height + 30
    whole = Image.new("RGB", (columns * (width + 12), max(heights)), "#888888")
    for name, image, x, y in places:
        ImageDraw.Draw(whole).text((x + 4, y + 4), name, fill="white")
        whole.paste(image, (x, y + 20))
    whole.save(path)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    runs = states()
    with chromium() as browser:
        for stem in FIGURES:
            for theme in THEMES:
                options = FigureOptions(theme=theme)
                still = {name: content(stem, run, "png", options) for name, run in runs.items()}
                sheet(still, folder / f"{stem}-{theme}-matplotlib.png")
                pages = {
                    name: write(stem, run, folder / f"{stem}-{theme}-{name}.html", options)
                    for name, run in runs.items()
                }
                moving = {name: shot(browser, page, width=1200) for name, page in pages.items()}
                sheet(moving, folder / f"{stem}-{theme}-plotly.png")
                narrow = {name: shot(browser, page, width=390) for name, page in pages.items()}
                sheet(narrow, folder / f"{stem}-{theme}-phone.png", columns=len(narrow), width=390)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
