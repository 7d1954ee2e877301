"""What a recording ends with: five lines, the step summary of a CI job, the report and the pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from drmviz.drawing import draw, runs_for_report, write_report
from drmviz.errors import DRMVizError
from drmviz.figures import FIGURES
from drmviz.recorder.process import Recorded
from drmviz.report import summary

UNCLAIMED = (
    "no pytest with the drmviz plugin took part, so the process tree was recorded; for use per test install drmviz"
    " beside pytest"
)


def summary_lines(recorded: Recorded, *, environ: Mapping[str, str] | None = None) -> list[str]:
    """Return the closing lines, and append the same as Markdown to GitHub's step summary where there is one."""
    run, host = runs_for_report(recorded.store, recorded.run_id)
    lines = summary.lines(run, host)
    remarks = [*([] if recorded.claimed else [UNCLAIMED]), *recorded.remarks]
    step_summary = (os.environ if environ is None else environ).get("GITHUB_STEP_SUMMARY")
    if step_summary:
        try:
            with open(step_summary, "a", encoding="utf-8") as page:
                page.write(summary.markdown(run, host))
        except OSError as error:
            remarks.append(f"the step summary {step_summary} cannot be written ({error.strerror})")
    return [*lines, *(f"note      {remark}" for remark in remarks)]


def write_pictures(recorded: Recorded, report: Path) -> tuple[list[Path], list[str]]:
    """Write the report and one picture of each figure beside it.

    Returns:
        The files, and what could not be written; one failing figure costs only itself.
    """

    def picture(stem: str) -> list[Path]:
        name = f"{report.stem}-{stem}"
        return draw(
            recorded.store, figures=[stem], formats=["png"], output_dir=report.parent, name=name, run_id=recorded.run_id
        )

    makers: dict[str, Callable[[], list[Path]]] = {
        "report": lambda: [write_report(recorded.store, report, run_id=recorded.run_id)],
        **{stem: partial(picture, stem) for stem in FIGURES},
    }
    written: list[Path] = []
    failed: list[str] = []
    for what, make in makers.items():
        try:
            written += make()
        except DRMVizError as error:
            failed.append(str(error))
        except Exception as error:  # noqa: BLE001  one figure of a set: the tests ran, their exit code stands
            failed.append(f"the {what} could not be drawn ({type(error).__name__}: {error})")
    return written, failed
