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


CLUSTER = """
import time
from distributed import Client, LocalCluster
from drmviz import DaskFleet, DRMVisualization, DynamicResourceManager

def work(number):
    until_s = time.time() + 0.12
    while time.time() < until_s:
        sum(range(2000))
    time.sleep(0.25)
    return number

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0")
    with cluster, Client(cluster) as client:
        fleet = DaskFleet(cluster)
        fleet.follow(DynamicResourceManager(0.7, 0.8, 0.3, 5, 3, 5, max_workers=4, stale_after_s=5))
        with DRMVisualization(fleet, output_dir=".", update_interval=0.5) as visualization:
            time.sleep(6)
            client.gather(client.map(work, range(170), pure=False))
            while len(cluster.scheduler.workers) > 1:
                time.sleep(0.5)
            time.sleep(5)
            title = "A Dask cluster scaled by a DynamicResourceManager"
            visualization.create_scaling_history_visualization("dask.png", title=title, width=1200)
        fleet.close()
"""


def dask_cluster(folder: Path) -> Path:
    """Return the picture of a real cluster that goes from one worker to four and back, which takes 45 s."""
    program = folder / "cluster.py"
    program.write_text(CLUSTER, encoding="utf-8")
    subprocess.run([sys.executable, program.name], cwd=folder, check=True)
    return folder / "dask.png"


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
        (IMAGES / "dask.png").write_bytes(dask_cluster(folder).read_bytes())
        photograph(browser, write_report(suite, folder / "report.html"), IMAGES / "report.png", height=1180)
        photograph(browser, write_dashboard(fleet, folder / "dashboard.html"), IMAGES / "dashboard.png", height=1500)


if __name__ == "__main__":
    main()
