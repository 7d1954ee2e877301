"""`DRMVisualizationIntegration`: figures under stable names, renewed in the background, for somebody else's page."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet, finalize, ref

from drmviz.errors import DRMVizError, InvalidValueError, OutputError, UsageError
from drmviz.figures import FIGURES, saving
from drmviz.integration.embedding import REFRESH_CHOICES, Tab, frame, length, message, tabs_page
from drmviz.model.status import OK, Status
from drmviz.registry import Entry, Known, Registry
from drmviz.report import dashboard
from drmviz.store import Store
from drmviz.system import Clock
from drmviz.visualization import DRMVisualization
from drmviz.visualization.given import LONGEST_INTERVAL_S, Given, checked_path

PAGE_NAME = "tabs.html"
_SAMPLE_S = 1.0
_CLOSING_S = 10.0
Create = Callable[[DRMVisualization, Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One figure that is kept up to date."""

    title: str
    description: str
    stem: str
    create: Create


def _of(stem: str, description: str, create: Create) -> tuple[str, _Kind]:
    info = FIGURES[stem]
    return info.type, _Kind(title=info.title, description=description, stem=stem, create=create)


_KINDS: Mapping[str, _Kind] = dict(
    (
        (
            "dashboard",
            _Kind(
                title=dashboard.TITLE,
                description="How the fleet stands, how it got there, and why it was scaled.",
                stem="dashboard",
                create=DRMVisualization.create_resource_dashboard,
            ),
        ),
        _of(
            "resource_utilization_heatmap",
            "Which worker was how busy when.",
            DRMVisualization.create_resource_utilization_heatmap,
        ),
        _of(
            "scaling_history",
            "How busy the fleet was against its thresholds, what was decided, and who came and went.",
            DRMVisualization.create_scaling_history_visualization,
        ),
        _of(
            "resource_allocation",
            "What each worker has, what of it is reserved, and what is used.",
            DRMVisualization.create_resource_allocation_visualization,
        ),
        _of(
            "resource_efficiency",
            "How much of what was reserved was used.",
            DRMVisualization.create_resource_efficiency_visualization,
        ),
        _of(
            "cloud_resources",
            "What each provider ran, and what that cost.",
            DRMVisualization.create_cloud_resource_visualization,
        ),
    )
)


class DRMVisualizationIntegration:
    """Keeps the figures of a fleet up to date in a folder, and hands them out to be embedded.

    The folder holds one HTML file for each figure, `tabs.html` with all of them, the recorded history and
    `visualization_registry.json`. Every method may be called from any thread. Leaving it as a context manager is
    `cleanup()`.
    """

    def __init__(
        self,
        output_dir: str | PathLike[str] = "./drm_visualizations",
        update_interval: float = 60,
        resource_manager: Any = None,
        *,
        clock: Clock | None = None,
    ) -> None:
        """Begin to collect and to draw, in the background, if there is a manager.

        Args:
            output_dir: where everything goes; made when missing.
            update_interval: seconds between two drawings. Samples are taken as often, at least each second. With 0
                nothing happens but in `update_visualizations()`, which then takes a sample first.
            resource_manager: as the first argument of `DRMVisualization`.
            clock: time; as of `DRMVisualization`.

        Raises:
            InvalidValueError: an argument makes no sense.
            StoreError: the history cannot be read, or not be written.
        """
        self.output_dir = checked_path("output_dir", output_dir).absolute()
        self._interval_s = update_interval
        self._given_clock = clock
        self._drawing = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn_at_s: dict[str, float] = {}
        self._problems: dict[str, Status] = {}
        self._manager: Any = None
        self._clock = Given.of(resource_manager, None).clock if clock is None else clock
        self._visualization = self._made(resource_manager)
        self._manager = resource_manager
        known = {
            type_: Known(title=kind.title, description=kind.description, stem=kind.stem)
            for type_, kind in _KINDS.items()
        }
        self._registry = Registry(self.output_dir, known, clock=self._clock)
        finalize(self, self._stop.set)
        _OPEN.add(self)
        self._begin()

    @property
    def types(self) -> tuple[str, ...]:
        """What there is to be seen, in the order of the tabs."""
        return tuple(_KINDS)

    @property
    def page(self) -> Path:
        """The page of tabs; written by each update, it shows the files that lie beside it."""
        return self.output_dir / PAGE_NAME

    @property
    def statuses(self) -> dict[str, Status]:
        """How the sources, the store, the registry and each figure that could not be drawn are doing."""
        return {**self._visualization.statuses, "registry": self._registry.status, **self._problems}

    @property
    def status(self) -> Status:
        """The first of them that is not OK, named."""
        for name, status in self.statuses.items():
            if status.state != "OK":
                return replace(status, reason=f"{name}: {status.reason}")
        return OK

    def set_resource_manager(self, resource_manager: Any) -> None:
        """Collect from this one from now on, into the same history; with None from nobody.

        Raises:
            UsageError: after `cleanup()`.
            InvalidValueError: it is nothing of what can be read; the one before stays.
            StoreError: the history cannot be written; then nobody is read.
        """
        given = Given.of(resource_manager, None)
        with self._drawing:
            if self._stop.is_set():
                raise UsageError("This integration was cleaned up. Make a new DRMVisualizationIntegration.")
            if resource_manager is self._manager:
                return
            self._visualization.cleanup()
            self._manager = None
            if self._given_clock is None:
                self._clock = given.clock
            self._visualization = self._made(resource_manager)
            self._manager = resource_manager
            self._drawn_at_s.clear()
            self._begin()

    def update_visualizations(self, force: bool = False) -> dict[str, Path]:
        """Draw every figure that was not drawn within the last `update_interval` seconds; all of them with `force`.

        A figure that cannot be drawn costs only itself: `statuses` says why, and its file stays as it was.

        Returns:
            The file of each figure that is up to date, by type.
        """
        with self._drawing:
            return self._update(force=force)

    def get_visualization(self, type_: str) -> dict[str, Any] | None:
        """Return what the registry says of a figure; None where there is no such file.

        `type`, `title`, `description`, `path` (relative to `output_dir`), `updated_at` (ISO 8601 with zone), `run`,
        `options`, `version`.
        """
        return self.get_all_visualizations().get(type_)

    def get_all_visualizations(self) -> dict[str, dict[str, Any]]:
        """Return the same of every figure whose file is there, by type."""
        return {
            type_: entry.as_json() for type_, entry in self._registry.read().items() if self._registry.has_file(entry)
        }

    def get_iframe_html(self, type_: str, width: str | int = "100%", height: str | int = "600px") -> str:
        """Return an `iframe` that carries the figure in itself, for a page that allows inline scripts.

        Where there is no file, the frame says why.

        Raises:
            InvalidValueError: there is no such type, or a size is no length of CSS.
        """
        if type_ not in _KINDS:
            raise InvalidValueError("type", type_, f"is not one of {', '.join(_KINDS)}")
        for name, given in (("width", width), ("height", height)):
            length(name, given)  # before a megabyte is read
        title = _KINDS[type_].title
        try:
            found = self._registry.content(type_)
        except DRMVizError as error:
            page = message(title, str(error))
        else:
            page = message(title, self._why_absent(type_)) if found is None else found.decode("utf-8", "replace")
        return frame(page, title, width=width, height=height)

    def cleanup(self) -> None:
        """End collecting and drawing; files stay. Calling it again does nothing."""
        self._stop.set()
        with self._drawing:  # a figure that is being drawn is finished
            self._visualization.cleanup()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSING_S)
        _OPEN.discard(self)

    def __enter__(self) -> DRMVisualizationIntegration:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()

    def _made(self, manager: Any) -> DRMVisualization:
        interval_s = self._interval_s
        is_long = isinstance(interval_s, int | float) and not isinstance(interval_s, bool) and interval_s > _SAMPLE_S
        if is_long and interval_s > LONGEST_INTERVAL_S:
            raise InvalidValueError("update_interval", interval_s, f"must be at most {LONGEST_INTERVAL_S:.0f} seconds")
        return DRMVisualization(
            manager,
            output_dir=self.output_dir,
            update_interval=_SAMPLE_S if is_long else interval_s,
            clock=self._given_clock,
        )

    def _begin(self) -> None:
        if self._manager is None or not self._interval_s or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=_keep_drawing, args=(ref(self), self._stop, self._interval_s), name="drmviz-integration", daemon=True
        )
        self._thread.start()

    def _update(self, *, force: bool = False, is_background: bool = False) -> dict[str, Path]:
        due = [type_ for type_ in _KINDS if force or not self._is_fresh(type_)]
        if due and not self._interval_s and not self._stop.is_set():
            self._visualization.collect()
        drawn = []
        for type_ in due:
            if is_background and self._stop.is_set():
                break
            if self._draw(type_):
                drawn.append(type_)
        if due:
            self._note(drawn)
        return {
            type_: self._file(type_) for type_ in _KINDS if type_ in self._drawn_at_s and self._file(type_).exists()
        }

    def _is_fresh(self, type_: str) -> bool:
        drawn_at_s = self._drawn_at_s.get(type_)
        return (
            drawn_at_s is not None
            and self._clock.monotonic_s() - drawn_at_s < self._interval_s
            and self._file(type_).exists()
        )

    def _file(self, type_: str) -> Path:
        return self.output_dir / f"{_KINDS[type_].stem}.html"

    def _draw(self, type_: str) -> bool:
        """Write one figure; tell whether that went well."""
        path = self._file(type_)
        try:
            if path.is_symlink():
                raise OutputError(path, "it is a link, which might lead out of the folder", remedy="Delete the link.")
            _KINDS[type_].create(self._visualization, path)
        except Exception as error:  # noqa: BLE001  a boundary: one figure of a set
            reason = str(error) if isinstance(error, DRMVizError) else f"{type(error).__name__}: {error}"
            self._drawn_at_s.pop(type_, None)
            self._say(type_, f"it could not be drawn ({reason})")
            return False
        self._drawn_at_s[type_] = self._clock.monotonic_s()
        self._problems.pop(type_, None)
        return True

    def _note(self, drawn: list[str]) -> None:
        """Put what was drawn into the registry, and all that there is onto the page of tabs."""
        run, now_s = self._run_id(), self._clock.wall_s()
        entries = [
            Entry(
                type=type_,
                title=_KINDS[type_].title,
                description=_KINDS[type_].description,
                path=self._file(type_).name,
                updated_at_s=now_s,
                run=run,
                options={},
            )
            for type_ in drawn
        ]
        try:
            if entries:
                self._registry.record(*entries)
            self._problems.pop("registry", None)
        except DRMVizError as error:
            self._say("registry", str(error))
        try:
            saving.save_bytes(self._page().encode("utf-8", "backslashreplace"), self.page)
            self._problems.pop("page", None)
        except OutputError as error:
            self._say("page", str(error))

    def _page(self) -> str:
        known = self._registry.read()
        tabs = []
        for type_, kind in _KINDS.items():
            entry = known.get(type_)
            is_there = entry is not None and self._registry.has_file(entry)
            problem = self._problems.get(type_)
            tabs.append(
                Tab(
                    type=type_,
                    title=kind.title,
                    description=kind.description,
                    path=entry.path if entry is not None and is_there else None,
                    updated_at_s=entry.updated_at_s if entry is not None and is_there else None,
                    problem="" if problem is None else problem.reason,
                )
            )
        problems = [
            f"{name}: {status.reason}"
            for name, status in self.statuses.items()
            if status.state != "OK" and name not in _KINDS
        ]
        choice = min((seconds for seconds in REFRESH_CHOICES if seconds >= self._interval_s > 0), default=0)
        return tabs_page(tabs, refresh_s=choice, problems=problems)

    def _run_id(self) -> str | None:
        """Return the newest run of the history that was drawn; None where there is none."""
        try:
            with Store.open(self._visualization.store) as store:
                runs = store.runs()
        except DRMVizError:
            return None
        return runs[-1].id if runs else None

    def _why_absent(self, type_: str) -> str:
        problem = self._problems.get(type_)
        if problem is not None:
            return problem.reason
        return "It has not been drawn yet; update_visualizations() does that."

    def _say(self, name: str, reason: str) -> None:
        before = self._problems.get(name)
        if before is None or before.reason != reason:
            self._problems[name] = Status(state="FAILED", reason=reason, since_s=self._clock.wall_s())

    def _draw_in_background(self) -> None:
        with self._drawing:
            if not self._stop.is_set():
                self._update(force=True, is_background=True)


def _keep_drawing(of: ref[DRMVisualizationIntegration], stop: threading.Event, interval_s: float) -> None:
    """Draw now and each interval, until told to stop, or until nobody holds the integration any more."""
    while True:
        integration = of()
        if integration is None:
            return
        try:
            integration._draw_in_background()
        except DRMVizError as error:
            integration._say("drawing", str(error))
        else:
            integration._problems.pop("drawing", None)
        del integration
        if stop.wait(interval_s):
            return


_OPEN = WeakSet[DRMVisualizationIntegration]()


@atexit.register
def _close_those_left() -> None:
    for integration in list(_OPEN):
        integration.cleanup()
