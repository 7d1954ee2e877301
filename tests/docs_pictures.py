"""`python -m tests.docs_pictures`: makes the pictures of the documentation anew from a recorded run of a real suite."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from drmviz.drawing import draw, write_report
from tests.browsers import chromium

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SUITE = "networkx.algorithms"


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
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 1280, "height": 1180}, color_scheme="light")
            page.goto(report.as_uri())
            page.wait_for_selector(".plot-container")
            page.wait_for_timeout(1500)
            page.screenshot(path=IMAGES / "report.png")


if __name__ == "__main__":
    main()
