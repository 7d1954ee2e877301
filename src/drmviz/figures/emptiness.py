"""Why a picture has nobody to show."""

from __future__ import annotations

from drmviz.model.run import Run


def why_nobody(run: Run) -> str:
    """Return one sentence for a run, or a window of one, in which no worker was seen."""
    if run.measured_ticks:
        return "No worker was seen in this window."
    return "Nothing was recorded in this window." if run.columns else "Nothing has been recorded yet."
