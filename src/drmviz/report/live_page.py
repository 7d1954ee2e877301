"""The dashboard as it is painted first where it is served: all of it but the figures, which its scripts draw."""

from __future__ import annotations

from markupsafe import Markup

from drmviz.figures.heatmap import METRIC_NAMES
from drmviz.figures.units import duration
from drmviz.model.metrics import Metric
from drmviz.model.run import Run
from drmviz.report.behind import Numbers
from drmviz.report.cards import Card
from drmviz.report.charts import Chart
from drmviz.report.dashboard import OUTLINES, Section, Variant, told
from drmviz.report.feed import Entry, Next
from drmviz.report.overview import Overview
from drmviz.report.templating import nonce_attribute, template

RANGES_S: tuple[int, ...] = (300, 900, 3600, 21_600, 86_400)
TABS = {
    "overview": "Overview",
    "use": "Utilization",
    "scaling": "Scaling",
    "allocation": "Allocation",
    "efficiency": "Efficiency",
    "cloud": "Cloud",
    "tests": "Tests",
}
_MAIN: tuple[Metric, ...] = ("cpu_ratio", "memory_ratio", "gpu_ratio")
_BLANK_CARD = Card(label="-", value="-", unit="-", lead="-", detail="-", line="M0 0", area="M0 0", level="0")
_BLANK_ENTRY = Entry(at_s=0.0, badge="-", tone="hold", heading="-", sentence="-", then="-", when="-", since_s=0.0)
_BLANK_NEXT = Next(name="-", value=0.0, up=1.0, down=0.0, cooldown="-")
_BLANK_NUMBERS = Numbers(columns=("-",), rows=(("-", "-"),), more="-")
_BLANK_PICTURE = Section(
    id="", title="", said="", span="",
    variants=(Variant(name="", chart=Chart(id="", title="", numbers=_BLANK_NUMBERS)),),
)  # fmt: skip


def render(run: Run, of: Overview, *, nonce: str, facts: Markup, prefix: str, can_end: bool) -> str:
    """Return the page; its scripts and its icon lie below the path `prefix`, and `facts` is JSON for them.

    With `can_end` it has a button that ends the process which serves it.

    What scripts put in later they make from templates that the same macros render, so no markup is written twice.
    """
    static = f"{prefix}/static"
    drawing = Markup('<script{} src="{}/drawing.js" defer></script>').format(nonce_attribute(nonce), static)
    given = told(run, of) | {
        "nonce": nonce,
        "module": f"{static}/page.js",
        "scripts": drawing,
        "icon": f"{prefix}/favicon.ico",
    }
    return template("live.html.j2").render(
        **given,
        facts=facts,
        can_end=can_end,
        outlines=[outline for id_, outline in OUTLINES.items() if id_ != "use"],
        tabs=TABS,
        ranges=[(seconds, duration(seconds)) for seconds in RANGES_S],
        main_metrics=[(metric, METRIC_NAMES[metric]) for metric in _MAIN],
        other_metrics=[(metric, name) for metric, name in METRIC_NAMES.items() if metric not in _MAIN],
        blank_card=_BLANK_CARD,
        blank_entry=_BLANK_ENTRY,
        blank_next=_BLANK_NEXT,
        blank_picture=_BLANK_PICTURE,
    )
