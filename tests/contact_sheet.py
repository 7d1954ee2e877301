"""`python -m tests.contact_sheet OUTDIR`: every figure in every state, as both libraries draw it, to be looked at."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from playwright.sync_api import Browser

from drmviz.figures import FIGURES
from drmviz.figures.base import FigureOptions, ThemeName
from drmviz.figures.saving import content, write
from drmviz.model.decisions import FleetChange
from drmviz.model.run import Run
from tests.browsers import chromium
from tests.building import START_S, ran, recorded

THEMES: tuple[ThemeName, ...] = ("light", "dark")


def fleet(workers: int, columns: int, *, gpu: bool = True, gaps: bool = False, seed: int = 1) -> Run:
    """Return a simulated fleet with tests; with gaps some cells are not measured and some workers come and go."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, max(2, columns))[:columns]
    load = 0.55 + 0.3 * np.exp(-(((time - 0.2) / 0.1) ** 2)) - 0.35 * np.exp(-(((time - 0.6) / 0.12) ** 2))
    names = [f"gw{i}" for i in range(workers)]
    shape = (workers, columns)

    def metric(bias: float) -> np.ndarray:
        wander = np.cumsum(random.normal(0, 0.02, shape), axis=1) + random.normal(bias, 0.08, (workers, 1))
        return np.clip(load + wander + random.normal(0, 0.03, shape), 0, 1.4).astype(np.float32)

    run = recorded({name: [0.0] * columns for name in names}, width_s=5.0, title=f"pytest -n {workers}")
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
    return dataclasses.replace(run, grids=grids, alive=alive, tasks=tuple(tasks), changes=tuple(changes))


def hostile() -> Run:
    """Return a run whose names try to break out."""
    names = (
        "</script><script>alert(1)</script>", "<b>bold</b><a href='http://evil.example'>x</a>", "🧪 عربى \u202eabc",
        "n" * 10_000, "$x^2$ %{y} \x1b[31m\n\0end", "__proto__",
    )  # fmt: skip
    values = {name: [0.1 * row, None, 0.5, 1.2] for row, name in enumerate(names)}
    tasks = [ran(f"test[{name}]", name, start=0, end=1 + row, outcome="failed") for row, name in enumerate(names)]
    changes = [FleetChange(at_s=START_S + 2, worker=name, change="left", why=name[:40]) for name in names]
    return recorded(values, tasks=tasks, changes=changes, title="<img src=x onerror=alert(1)>", notes=["</title>"])


def states() -> dict[str, Run]:
    """Return the runs that a picture must be right for."""
    empty = recorded({})
    return {
        "1 worker": fleet(1, 120),
        "3 workers": fleet(3, 120),
        "30 workers, gaps and absences": fleet(30, 120, gaps=True),
        "1000 workers": fleet(1000, 600, gaps=True),
        "one tick": fleet(3, 1),
        "no GPU": fleet(8, 60, gpu=False),
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
