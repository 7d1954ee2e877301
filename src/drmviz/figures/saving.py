"""Pictures as files: the suffix decides, and a reader sees the old file or the new one, never a half."""

from __future__ import annotations

from contextlib import AbstractContextManager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drmviz.errors import MissingExtraError, OutputError, UsageError
from drmviz.figures import FIGURES, load
from drmviz.figures.base import FigureOptions
from drmviz.figures.encoding import plain, to_json
from drmviz.figures.names import drawn
from drmviz.figures.page import to_html
from drmviz.figures.png import rgb_png
from drmviz.model.run import Run
from drmviz.system import Files, SystemFiles

if TYPE_CHECKING:
    import plotly.graph_objects
    from matplotlib.figure import Figure

FORMATS = ("html", "png", "svg", "pdf", "json")
_FILES = SystemFiles()


def write(stem: str, run: Run, path: Path, options: FigureOptions | None = None, *, files: Files = _FILES) -> Path:
    """Draw a figure into a file; the suffix of its name says how.

    Raises:
        UsageError: there is no such figure, or no such format.
        OutputError: the file cannot be written there.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        endings = ", ".join(f".{known}" for known in FORMATS)
        raise UsageError(f"Cannot write {path.name!r}: the name must end in one of {endings}.")
    save_bytes(content(stem, run, kind, options), path, files=files)
    return path


def content(stem: str, run: Run, kind: str, options: FigureOptions | None = None) -> bytes:
    """Return what a file of that kind holds (`html`, `png`, `svg`, `pdf` or `json`)."""
    options = options or FigureOptions()
    module = load(stem)
    numbers = module.arrange(run, options)
    if kind == "json":
        return to_json(module.draw_plotly(numbers, options))
    title = options.title or FIGURES[stem].title
    description = module.describe(numbers)
    if kind == "html":
        page_title = f"{title} · {drawn(run.header.title)}" if run.header.title else title
        spec = module.draw_plotly(numbers, options)
        return to_html(spec, title=page_title, description=description, theme=options.theme)
    with _drawing():
        return picture(module.draw_matplotlib(numbers, options), kind, title=title, description=description)


def figure(stem: str, run: Run, options: FigureOptions | None = None) -> plotly.graph_objects.Figure:
    """Return the figure as an object of Plotly."""
    try:
        import plotly.graph_objects as graph_objects
    except ImportError as error:
        raise MissingExtraError("A Plotly figure", "plotly") from error
    options = options or FigureOptions()
    module = load(stem)
    return graph_objects.Figure(plain(module.draw_plotly(module.arrange(run, options), options)))


def picture(figure: Figure, kind: str, *, title: str = "", description: str = "") -> bytes:
    """Return a Matplotlib figure as `png`, `svg` or `pdf`."""
    more: dict[str, Any] = {}
    title, description = drawn(title, limit=200), drawn(description, limit=1000)
    if kind == "png":
        return _png(figure, {"Title": title, "Description": description})
    if kind == "svg":
        more = {"metadata": {"Title": title, "Description": description, "Date": None}}
    elif kind == "pdf":
        more = {"metadata": {"Title": title, "Subject": description, "CreationDate": None}}
    written = BytesIO()
    figure.savefig(written, format=kind, dpi=figure.dpi, facecolor=figure.get_facecolor(), **more)
    return written.getvalue()


def _png(figure: Figure, texts: dict[str, str]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return rgb_png(np.asarray(canvas.buffer_rgba())[:, :, :3], texts, dots_per_inch=figure.dpi)  # type: ignore[no-untyped-call]


def save_matplotlib(figure: Figure, path: Path, kind: str, *, files: Files = _FILES) -> None:
    """Write a Matplotlib figure as `png`, `svg` or `pdf`."""
    with _drawing():
        written = picture(figure, kind)
    save_bytes(written, path, files=files)


def save_bytes(written: bytes, path: Path, *, files: Files = _FILES) -> None:
    """Replace the file as a whole, or raise OutputError."""
    try:
        files.replace(path, written)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def _drawing() -> AbstractContextManager[Any]:
    """Return the one lock around Matplotlib, or raise MissingExtraError."""
    from drmviz.figures.canvas import DRAWING  # loads Matplotlib

    return DRAWING
