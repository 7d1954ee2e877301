"""`DRMVisualizationIntegration`: figures under stable names, renewed in the background, for somebody else's page."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, finalize, ref

from drmviz.dashboard.access import Access, chosen_token, hosts_and_origins
from drmviz.dashboard.listening import DEFAULT_PORT
from drmviz.errors import DRMVizError, InvalidValueError, UsageError
from drmviz.integration.drawings import Drawings
from drmviz.integration.embedding import Served, frame, length, linked
from drmviz.integration.kinds import KINDS
from drmviz.integration.place import Place
from drmviz.model.status import OK, Status
from drmviz.system import Clock
from drmviz.visualization import DRMVisualization
from drmviz.visualization.given import LONGEST_INTERVAL_S, Given, checked_bool, checked_path

if TYPE_CHECKING:
    from drmviz.dashboard.guard import Authorize
    from drmviz.integration.application import MountedDashboard

_SAMPLE_S = 1.0
_CLOSING_S = 10.0
_LONGEST_VALID_S = 366 * 86_400


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
        base_url: str | None = None,
        embed_origins: Sequence[str] = (),
        controls: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """Begin to collect and to draw, in the background, if there is a manager.

        Args:
            output_dir: where everything goes; made when missing.
            update_interval: seconds between two drawings. Samples are taken as often, at least each second. With 0
                nothing happens but in `update_visualizations()`, which then takes a sample first.
            resource_manager: as the first argument of `DRMVisualization`.
            base_url: where browsers find `asgi_app()`, such as `https://ci.example.org/team/drm`. Frames then load
                their figure from there, by a signed address.
            embed_origins: whose pages may show them, such as `https://wiki.example.org`, beside those of that server.
            controls: whether the page of `asgi_app()` may start and stop the live server.
            clock: time; as of `DRMVisualization`.

        Raises:
            InvalidValueError: an argument makes no sense.
            StoreError: the history cannot be read, or not be written.
        """
        self.output_dir = checked_path("output_dir", output_dir).absolute()
        self._place = Place.of(base_url, embed_origins)
        checked_bool("controls", controls)
        self._has_controls = controls
        self._exchange = threading.RLock()
        self._token: str | None = None
        self._live: tuple[str, int] | None = None
        self._applications: WeakSet[MountedDashboard] = WeakSet()
        self._interval_s = update_interval
        self._given_clock = clock
        self._drawing = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._manager: Any = None
        first_clock = Given.of(resource_manager, None).clock if clock is None else clock
        self._visualization = self._made(resource_manager)
        self._manager = resource_manager
        self._drawings = Drawings(self.output_dir, update_interval, first_clock)
        finalize(self, self._stop.set)
        _OPEN.add(self)
        self._begin()

    @property
    def types(self) -> tuple[str, ...]:
        """What there is to be seen, in the order of the tabs."""
        return tuple(KINDS)

    @property
    def page(self) -> Path:
        """The page of tabs; written by each update, it shows the files that lie beside it."""
        return self._drawings.page_path

    @property
    def statuses(self) -> dict[str, Status]:
        """How the sources, the store, the registry and each figure that could not be drawn are doing."""
        return self._drawings.statuses_with(self._visualization.statuses)

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
            with self._exchange:
                self._visualization.cleanup()
                self._manager = None
                if self._given_clock is None:
                    self._drawings.clock = given.clock
                self._visualization = self._made(resource_manager)
                self._manager = resource_manager
                self._show_on()
            self._drawings.forget()
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
        registry = self._drawings.registry
        return {type_: entry.as_json() for type_, entry in registry.read().items() if registry.has_file(entry)}

    def get_iframe_html(
        self, type_: str, width: str | int = "100%", height: str | int = "600px", *, valid_s: int = 86_400
    ) -> str:
        """Return an `iframe` that shows a figure.

        Without a `base_url` it carries the figure in itself, for a page that allows inline scripts. With one it loads
        it from there, each time as it is then; the address shows only this figure, for `valid_s` seconds, to whoever
        has it. Where there is no file, the frame says why.

        Raises:
            InvalidValueError: there is no such type, or a size is no length of CSS.
        """
        if type_ not in KINDS:
            raise InvalidValueError("type", type_, f"is not one of {', '.join(KINDS)}")
        for name, given in (("width", width), ("height", height)):
            length(name, given)  # before a megabyte is read
        if isinstance(valid_s, bool) or not isinstance(valid_s, int) or not 1 <= valid_s <= _LONGEST_VALID_S:
            raise InvalidValueError("valid_s", valid_s, f"must be whole seconds from 1 to {_LONGEST_VALID_S}")
        title = KINDS[type_].title
        if self._place.url:
            path = f"/embed/{type_}"
            expires_s = int(time.time()) + valid_s
            signature = self._access(()).signature(path, expires_s)
            url = f"{self._place.url}{path}?expires={expires_s}&signature={signature}"
            return linked(url, title, width=width, height=height)
        return frame(self._drawings.content(type_), title, width=width, height=height)

    @property
    def token(self) -> str:
        """What lets in at `asgi_app()` and at the live server: `DRMVIZ_TOKEN`, else one that is new each time.

        Raises:
            UsageError: `DRMVIZ_TOKEN` can be guessed.
        """
        with self._exchange:
            if self._token is None:
                self._token = chosen_token()
            return self._token

    def asgi_app(self, *, allowed_hosts: Sequence[str] = (), authorize: Authorize | None = None) -> MountedDashboard:
        """Return tabs, dashboard, API and live view as an ASGI application, to be mounted below any path of yours.

        It needs no lifespan, and answers until `cleanup()`.

        Args:
            allowed_hosts: by which names browsers may call the server, such as `ci.example.org`, beside this machine
                and the one in `base_url`; with `https://` before it where a proxy serves it under another origin.
            authorize: is given the ASGI scope of each request and WebSocket and returns, or awaits, True for who may
                look on. It stands in for the token, where your own application knows who comes.

        Raises:
            UsageError: a host is none, `DRMVIZ_TOKEN` can be guessed, or after `cleanup()`.
        """
        from drmviz.integration.application import MountedDashboard  # on first use: who embeds figures needs no server
        from drmviz.integration.routes import mounted_endpoints

        endpoints = mounted_endpoints(
            self._drawings.registry,
            self._place.ancestors,
            tabs=self._tabs_served,
            switch=self if self._has_controls else None,
        )
        access = self._access(allowed_hosts)
        with self._exchange:
            if self._stop.is_set():
                raise UsageError("This integration was cleaned up. Make a new DRMVisualizationIntegration.")
            application = MountedDashboard(self._visualization.fleet(), access, endpoints, authorize=authorize)
            self._applications.add(application)
        return application

    def start_dashboard_server(self, port: int | None = None, host: str = "127.0.0.1") -> str:
        """Serve the dashboard, the API and the figures on a port of their own, as `DRMVisualization` does.

        Args:
            port: 8889 when None; 0 is any free one.
            host: as of `DRMVisualization.start_dashboard_server`.

        Returns:
            The address to open, its token in it; it accepts already, and goes on when another manager is set.

        Raises:
            InvalidValueError, UsageError: the address makes no sense, another one is served, or after `cleanup()`.
            ServerError: somebody else has that port.
        """
        with self._exchange:
            if self._stop.is_set():
                raise UsageError("This integration was cleaned up. Make a new DRMVisualizationIntegration.")
            url = self._serve(host, port)
            if (found := self._visualization.serving.access) is not None:
                self._live = host, found.port
            return url

    def stop_dashboard_server(self) -> None:
        """End it, within two seconds; calling it again does nothing."""
        with self._exchange:
            self._live = None
            self._visualization.stop_dashboard_server()

    def live_cookie(self) -> tuple[int, str] | None:
        """Return the port of the live server and the `Set-Cookie` that lets a browser in; None while there is none."""
        with self._exchange:
            access = self._visualization.serving.access
            return None if access is None else (access.port, access.set_cookie())

    def cleanup(self) -> None:
        """End collecting and drawing; files stay. Calling it again does nothing."""
        self._stop.set()
        with self._exchange:
            self.stop_dashboard_server()
            for application in list(self._applications):
                application.close()
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

    def _serve(self, host: str, port: int | None) -> str:
        from drmviz.integration.routes import figure_endpoints

        return self._visualization.serving.start(
            self._visualization.fleet(),
            host=host,
            port=DEFAULT_PORT if port is None else port,
            token=self.token,
            more=figure_endpoints(self._drawings.registry, self._place.ancestors),
        )

    def _show_on(self) -> None:
        """Let whoever looks on see what is recorded from now on."""
        for application in list(self._applications):
            application.show(self._visualization.fleet())
        if self._live is not None:
            host, port = self._live
            try:
                self._serve(host, port)
                self._drawings.is_well("server")
            except DRMVizError as error:
                self._live = None
                self._drawings.say("server", str(error))

    def _access(self, allowed_hosts: Sequence[str]) -> Access:
        hosts, origins = hosts_and_origins("127.0.0.1", (*self._place.own, *allowed_hosts), said="allowed_hosts")
        return Access(
            token=self.token,
            port=0,
            hosts=hosts,
            origins=origins,
            is_mounted=True,
            public_url=self._place.url,
            secure=self._place.url.startswith("https:"),
            remedy="base_url or asgi_app(allowed_hosts=...)",
        )

    def _begin(self) -> None:
        if self._manager is None or not self._interval_s or self._thread is not None:
            return
        self._thread = threading.Thread(
            target=_keep_drawing, args=(ref(self), self._stop, self._interval_s), name="drmviz-integration", daemon=True
        )
        self._thread.start()

    def _update(self, *, force: bool = False, is_background: bool = False) -> dict[str, Path]:
        return self._drawings.update(
            self._visualization,
            force=force,
            sample_first=not self._interval_s and not self._stop.is_set(),
            is_ended=lambda: is_background and self._stop.is_set(),
        )

    def _tabs_served(self, nonce: str) -> str:
        with self._exchange:
            access = self._visualization.serving.access
        port = None if access is None else access.port
        return self._drawings.page(self.statuses, Served(nonce=nonce, has_controls=self._has_controls, live_port=port))

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
            integration._drawings.say("drawing", str(error))
        else:
            integration._drawings.is_well("drawing")
        del integration
        if stop.wait(interval_s):
            return


_OPEN = WeakSet[DRMVisualizationIntegration]()


@atexit.register
def _close_those_left() -> None:
    for integration in list(_OPEN):
        integration.cleanup()
