"""`python -m tests.docs_pictures`: makes the pictures of the documentation anew from a recorded run of a real suite."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from drmviz.drawing import draw, write_report

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SUITE = "networkx.algorithms"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "networkx.drmviz")
        command = ["python", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--pyargs", SUITE]
        subprocess.run(
            [sys.executable, "-m", "drmviz", "run", "--store", str(store), "--no-report", "--", *command],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        draw(store, formats=["png"], output_dir=IMAGES)
        report = write_report(store, Path(folder, "report.html"))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
            page = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
            page.goto(report.as_uri())
            page.wait_for_selector(".plot-container")
            page.wait_for_timeout(1500)
            page.screenshot(path=IMAGES / "report.png")
            browser.close()


if __name__ == "__main__":
    main()
