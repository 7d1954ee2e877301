"""`DRMVisualization`: the fleet of a manager, recorded and drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack
from weakref import finalize

from drmviz.dashboard.fleet import Fleet
from drmviz.dashboard.listening import Listening
from drmviz.errors import InvalidValueError
from drmviz.figures import load, saving
from drmviz.model.run import Run
from drmviz.model.status import OK, Status
from drmviz.report import dashboard
from drmviz.sources.cloud_inventory import CloudSource
from drmviz.store import Store
from drmviz.system import Clock
from drmviz.visualization.asking import Asked, Options, read_options
from drmviz.visualization.collection import Collection, begin
from drmviz.visualization.given import STORE_NAME, Given, Settings, checked_bool, checked_path
from drmviz.visualization.history import History, Needs
from drmviz.visualization.serving import Serving, fleet_of
from drmviz.visualization.targets import asked_path, kind_of, save_new, stamped

if TYPE_CHECKING:
    import plotly.graph_objects

AnyPath = str | PathLike[str]


class DRMVisualization:
    """Collects what a fleet does from the moment it is made, and draws what was collected.

    Every method may be called from any thread. Leaving it as a context manager is `cleanup()`.
    """

    def __init__(
        self,
        dynamic_resource_manager: Any = None,
        cloud_provider_manager: Any = None,
        *,
        output_dir: AnyPath = "./visualizations",
        interactive: bool = True,
        dashboard_port: int = 8889,
        data_retention_days: float = 30,
        update_interval: float = 1.0,
        store: AnyPath | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Collect now and each `update_interval` seconds from now on; with 0 only on `collect()`.

        Args:
            dynamic_resource_manager: a DynamicResourceManager, any object with `get_worker_statistics()`, a source, or
                the path of a recorded history, which is only drawn. None collects nothing of workers.
            cloud_provider_manager: any object with `providers`; it is asked every 30 s.
            output_dir: where files without a path of their own go.
            interactive: whether those are HTML (Plotly) or PNG (Matplotlib).
            dashboard_port: where a dashboard server listens.
            data_retention_days: what is older is not shown any more, and forgotten.
            update_interval: seconds between two ticks.
            store: the file that is recorded into; `history.drmviz` in `output_dir` when None. Each object appends a
                run, and draws all of them. Where somebody else writes it, a numbered file beside it is taken.
            clock: time; the manager's own clock where it has one, else that of this machine.

        Raises:
            InvalidValueError: an argument makes no sense.
            StoreError: the history cannot be read, or not be written.
        """
        given = Given.of(dynamic_resource_manager, cloud_provider_manager)
        self.settings = Settings(
            output_dir=output_dir,  # type: ignore[arg-type]
            interactive=interactive,
            dashboard_port=dashboard_port,
            data_retention_days=data_retention_days,
            update_interval=update_interval,
        )
        self._clock = given.clock if clock is None else clock
        self._collection: Collection | None = None
        self.serving = Serving()
        """The server of its dashboard."""
        finalize(self, self.serving.ask_to_stop)
        if given.history is not None:
            if store is not None:
                raise InvalidValueError(
                    "store", store, "is not written while a recorded history is drawn; leave it out"
                )
            Store.open(given.history).close()  # whoever named a wrong file wants to know now
            self._history = History(given.history)
            return
        path = self.settings.output_dir / STORE_NAME if store is None else checked_path("store", store)
        if given.is_collected:
            self._collection = begin(given, path, settings=self.settings, clock=self._clock)
            finalize(self, self._collection.ask_to_stop)
            path = self._collection.path
        now_s = self._clock.wall_s if self._collection is None else self._collection.now_s
        self._history = History(path, keep_s=self.settings.keep_s, now_s=now_s)

    @property
    def store(self) -> Path:
        """The file of history that is recorded into and drawn."""
        return self._history.path

    @property
    def statuses(self) -> dict[str, Status]:
        """How each source and the store are doing; nothing where nothing is collected."""
        return {} if self._collection is None else self._collection.statuses

    @property
    def status(self) -> Status:
        """The first of them that is not OK, named."""
        for name, status in self.statuses.items():
            if status.state != "OK":
                return replace(status, reason=f"{name}: {status.reason}")
        return OK

    def collect(self) -> None:
        """Take a tick now; nothing where there is nobody to ask.

        Raises:
            UsageError: it was cleaned up.
        """
        if self._collection is not None:
            self._collection.tick()

    def create_resource_utilization_heatmap(
        self, output_path: AnyPath | None = None, *, interactive: bool | None = None, **options: Unpack[Options]
    ) -> Path:
        """Write who was how busy when, and return the file.

        Every `create_` method takes the same. `output_path` ends in .html, .png, .svg, .pdf or .json, which decides;
        without it the file gets a name of its own in `output_dir`, and `interactive` decides. For the options see
        `Options`; the folder is made.

        Raises:
            UsageError: no such option, or no such format.
            InvalidValueError: an option makes no sense, or no such worker lived in the window.
            StoreError: the history cannot be read.
            OutputError: the file cannot be written.
        """
        return self._create("resource_utilization_heatmap", output_path, interactive, options)

    def create_scaling_history_visualization(
        self, output_path: AnyPath | None = None, *, interactive: bool | None = None, **options: Unpack[Options]
    ) -> Path:
        """Write how the fleet grew and shrank, and why."""
        return self._create("scaling_history", output_path, interactive, options)

    def create_resource_allocation_visualization(
        self, output_path: AnyPath | None = None, *, interactive: bool | None = None, **options: Unpack[Options]
    ) -> Path:
        """Write what each worker has, what of it is reserved, and what is used."""
        return self._create("resource_allocation", output_path, interactive, options)

    def create_resource_efficiency_visualization(
        self, output_path: AnyPath | None = None, *, interactive: bool | None = None, **options: Unpack[Options]
    ) -> Path:
        """Write how much of what was reserved was used."""
        return self._create("resource_efficiency", output_path, interactive, options)

    def create_cloud_resource_visualization(
        self, output_path: AnyPath | None = None, *, interactive: bool | None = None, **options: Unpack[Options]
    ) -> Path:
        """Write what each provider ran, and what that cost."""
        return self._create("cloud_resources", output_path, interactive, options)

    def create_resource_dashboard(self, output_path: AnyPath | None = None) -> Path:
        """Write all of them as one HTML file that opens offline, and return it.

        Raises:
            UsageError, StoreError, OutputError: as of the other files.
        """
        target = None if output_path is None else asked_path(output_path, never=self.store, formats=("html",))
        page = dashboard.render(self._window(read_options({}), Needs(columns=dashboard.NEEDS, means=dashboard.MEANS)))
        return self._written(page.encode("utf-8"), target, "dashboard", "html")

    def figure(self, name: str, **options: Unpack[Options]) -> plotly.graph_objects.Figure:
        """Return a figure as an object of Plotly; its name is that of its files, such as `scaling_history`.

        Raises:
            UsageError: no such figure, or no such option.
            InvalidValueError, StoreError: as of the methods that write files.
        """
        asked = read_options(options)
        return saving.figure(name, self._window(asked, _needs(name, asked)), asked.options)

    def start_dashboard_server(self, port: int | Listening | None = None, host: str = "127.0.0.1") -> str:
        """Serve the dashboard and the API of this run, and return the address to open, with its token.

        Args:
            port: `dashboard_port` when None; 0 is any free one; or one that is held already, with its own address.
            host: an address of this machine that only this machine reaches; `drmviz serve` has more to say.

        Returns:
            The address; the server accepts already. Where one runs on that port, its address.

        Raises:
            InvalidValueError, UsageError: the address makes no sense, or another one is served already.
            ServerError: somebody else has that port.
        """
        return self.serving.start(self.fleet(), host=host, port=self.settings.dashboard_port if port is None else port)

    def fleet(self) -> Fleet:
        """Return what its dashboard shows, for an application that serves it itself."""
        return fleet_of(self.store, self._collection)

    def stop_dashboard_server(self) -> None:
        """End the server, within two seconds; calling it again does nothing."""
        self.serving.stop()

    def cleanup(self) -> None:
        """End server and collection, within two seconds; what was recorded can still be drawn. Again does nothing.

        A source that is stuck in its call is named in `statuses`.
        """
        self.serving.stop()
        if self._collection is not None:
            self._collection.close()
        self._history.forget()

    def __enter__(self) -> DRMVisualization:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()

    def _create(
        self, stem: str, output_path: AnyPath | None, interactive: bool | None, options: Mapping[str, Any]
    ) -> Path:
        asked = read_options(options)
        if interactive is None:
            interactive = self.settings.interactive
        checked_bool("interactive", interactive)
        target = None if output_path is None else asked_path(output_path, never=self.store)
        kind = ("html" if interactive else "png") if target is None else kind_of(target)
        run = self._window(asked, _needs(stem, asked))
        return self._written(saving.content(stem, run, kind, asked.options), target, stem, kind)

    def _written(self, content: bytes, target: Path | None, stem: str, kind: str) -> Path:
        if target is None:
            return save_new(content, self.settings.output_dir, stamped(stem, self._clock.wall_s()), kind)
        saving.save_bytes(content, target)
        return target

    def _window(self, asked: Asked, needs: Needs) -> Run:
        run = self._history.window(asked, needs)
        return replace(run, notes=(*run.notes, *self._why_empty(run)))

    def _why_empty(self, run: Run) -> list[str]:
        """Say what keeps a figure of this run empty: one of nobody, or one of providers."""
        if run.is_empty and self._collection is None and not self.store.exists():
            return ["No manager was given, so nothing is collected."]
        return [
            f"{name}: {status.reason.rstrip('.')}."
            for name, status in self.statuses.items()
            if status.state != "OK" and (run.is_empty or (name == CloudSource.name and not run.cloud))
        ]


def _needs(stem: str, asked: Asked) -> Needs:
    """Return what a figure needs, and the mean beside the statistic that was asked for."""
    module, options = load(stem), asked.options
    return Needs(
        columns=module.needs(options),
        means=module.means(options),
        statistics=("mean",) if options.statistic == "mean" else ("mean", options.statistic),
    )
