"""The figures of an integration in their folder: drawn when they are due, registered, and shown on a page of tabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from drmviz.errors import DRMVizError, OutputError
from drmviz.figures import saving
from drmviz.integration.embedding import REFRESH_CHOICES, Served, Tab, message, tabs_page
from drmviz.integration.kinds import KINDS
from drmviz.model.status import Status
from drmviz.registry import Entry, Known, Registry
from drmviz.store import Store
from drmviz.system import Clock
from drmviz.visualization import DRMVisualization

PAGE_NAME = "tabs.html"


class Drawings:
    """Draws, and knows what was drawn; not for two threads at once, but for reading."""

    def __init__(self, folder: Path, interval_s: float, clock: Clock) -> None:
        self.folder = folder
        self.clock = clock
        self._interval_s = interval_s
        known = {
            type_: Known(title=kind.title, description=kind.description, stem=kind.stem)
            for type_, kind in KINDS.items()
        }
        self.registry = Registry(folder, known, clock=clock)
        self.problems: dict[str, Status] = {}
        """What went wrong, by the figure or whatever else it concerns."""
        self._drawn_at_s: dict[str, float] = {}

    @property
    def page_path(self) -> Path:
        return self.folder / PAGE_NAME

    def forget(self) -> None:
        """Let every figure be due."""
        self._drawn_at_s.clear()

    def update(
        self, visualization: DRMVisualization, *, force: bool, sample_first: bool, is_ended: Callable[[], bool]
    ) -> dict[str, Path]:
        """Draw what is due, until it is ended; return the file of each figure that is up to date."""
        due = [type_ for type_ in KINDS if force or not self._is_fresh(type_)]
        if due and sample_first:
            visualization.collect()
        drawn = []
        for type_ in due:
            if is_ended():
                break
            if self._draw(visualization, type_):
                drawn.append(type_)
        if due:
            self._note(visualization, drawn)
        return {type_: self._file(type_) for type_ in KINDS if type_ in self._drawn_at_s and self._file(type_).exists()}

    def page(self, statuses: Mapping[str, Status], served: Served | None = None) -> str:
        """Return the page of tabs as of now, with what of `statuses` is not well."""
        known = self.registry.read()
        tabs = []
        for type_, kind in KINDS.items():
            entry = known.get(type_)
            if entry is not None and not self.registry.has_file(entry):
                entry = None
            problem = self.problems.get(type_)
            tabs.append(
                Tab(
                    type=type_,
                    title=kind.title,
                    description=kind.description,
                    path=None if entry is None else entry.path if served is None else f"figures/{type_}",
                    updated_at_s=None if entry is None else entry.updated_at_s,
                    problem="" if problem is None else problem.reason,
                )
            )
        problems = [
            f"{name}: {status.reason}"
            for name, status in statuses.items()
            if status.state != "OK" and name not in KINDS
        ]
        choice = min((seconds for seconds in REFRESH_CHOICES if seconds >= self._interval_s > 0), default=0)
        return tabs_page(tabs, refresh_s=choice, problems=problems, served=served)

    def content(self, type_: str) -> str:
        """Return the page of a figure, or one that says why there is none."""
        title = KINDS[type_].title
        try:
            found = self.registry.content(type_)
        except DRMVizError as error:
            return message(title, str(error))
        if found is not None:
            return found.decode("utf-8", "replace")
        problem = self.problems.get(type_)
        absent = "It has not been drawn yet; update_visualizations() does that."
        return message(title, absent if problem is None else problem.reason)

    def say(self, name: str, reason: str) -> None:
        """Remember what went wrong, since the first time it did so for that reason."""
        before = self.problems.get(name)
        if before is None or before.reason != reason:
            self.problems[name] = Status(state="FAILED", reason=reason, since_s=self.clock.wall_s())

    def is_well(self, name: str) -> None:
        """Forget what went wrong with it."""
        self.problems.pop(name, None)

    def statuses_with(self, statuses: Mapping[str, Status]) -> dict[str, Status]:
        """Return them with those of the registry and of what went wrong here."""
        return {**statuses, "registry": self.registry.status, **self.problems}

    def _is_fresh(self, type_: str) -> bool:
        drawn_at_s = self._drawn_at_s.get(type_)
        return (
            drawn_at_s is not None
            and self.clock.monotonic_s() - drawn_at_s < self._interval_s
            and self._file(type_).exists()
        )

    def _file(self, type_: str) -> Path:
        return self.folder / f"{KINDS[type_].stem}.html"

    def _draw(self, visualization: DRMVisualization, type_: str) -> bool:
        """Write one figure; tell whether that went well."""
        path = self._file(type_)
        try:
            if path.is_symlink():
                raise OutputError(path, "it is a link, which might lead out of the folder", remedy="Delete the link.")
            KINDS[type_].create(visualization, path)
        except Exception as error:  # noqa: BLE001  a boundary: one figure of a set
            reason = str(error) if isinstance(error, DRMVizError) else f"{type(error).__name__}: {error}"
            self._drawn_at_s.pop(type_, None)
            self.say(type_, f"it could not be drawn ({reason})")
            return False
        self._drawn_at_s[type_] = self.clock.monotonic_s()
        self.is_well(type_)
        return True

    def _note(self, visualization: DRMVisualization, drawn: list[str]) -> None:
        """Put what was drawn into the registry, and all that there is onto the page of tabs."""
        run, now_s = _newest_run(visualization.store), self.clock.wall_s()
        entries = [
            Entry(
                type=type_,
                title=KINDS[type_].title,
                description=KINDS[type_].description,
                path=self._file(type_).name,
                updated_at_s=now_s,
                run=run,
                options={},
            )
            for type_ in drawn
        ]
        try:
            if entries:
                self.registry.record(*entries)
            self.is_well("registry")
        except DRMVizError as error:
            self.say("registry", str(error))
        page = self.page(self.statuses_with(visualization.statuses))
        try:
            saving.save_bytes(page.encode("utf-8", "backslashreplace"), self.page_path)
            self.is_well("page")
        except OutputError as error:
            self.say("page", str(error))


def _newest_run(path: Path) -> str | None:
    """Return the newest run of the history that was drawn; None where there is none."""
    try:
        with Store.open(path) as store:
            runs = store.runs()
    except DRMVizError:
        return None
    return runs[-1].id if runs else None
