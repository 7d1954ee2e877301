"""`python -m tests.docs_pictures`: makes the pictures of the documentation anew.

Those of tests come from a recorded run of a real suite, those of a fleet from the demo.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser

from drmviz.drawing import draw, write_dashboard, write_report
from tests.browsers import chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SUITE = "networkx.algorithms"
OF_TESTS = ("resource_utilization_heatmap", "test_timeline")
OF_A_FLEET = ("scaling_history", "resource_allocation", "resource_efficiency", "cloud_resources")


def recorded_suite(folder: Path) -> Path:
    store = folder / "networkx.drmviz"
    command = ["python", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--pyargs", SUITE]
    _drmviz(folder, "run", "--store", str(store), "--no-report", "--", *command)
    return store


def simulated_fleet(folder: Path) -> Path:
    store = folder / "demo.drmviz"
    _drmviz(folder, "demo", "--headless", "--workers", "18", "--duration", "1800", "--store", str(store))
    return store


def _drmviz(folder: Path, *arguments: str) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))  # so that `python` is this one
    subprocess.run(
        [sys.executable, "-m", "drmviz", *arguments],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PATH": path},
    )


def photograph(browser: Browser, written: Path, picture: Path, *, height: int) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": height}, color_scheme="light")
    page.goto(written.as_uri())
    page.wait_for_selector(".plot-container")
    page.wait_for_timeout(1500)
    page.screenshot(path=picture)
    page.close()


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, chromium() as browser:
        folder = Path(name)
        suite, fleet = recorded_suite(folder), simulated_fleet(folder)
        draw(suite, figures=OF_TESTS, formats=["png"], output_dir=IMAGES)
        draw(fleet, figures=OF_A_FLEET, formats=["png"], output_dir=IMAGES)
        photograph(browser, write_report(suite, folder / "report.html"), IMAGES / "report.png", height=1180)
        photograph(browser, write_dashboard(fleet, folder / "dashboard.html"), IMAGES / "dashboard.png", height=1500)


if __name__ == "__main__":
    main()
