"""One window of history as arrays, already reduced to the columns that will be drawn: all that sums and figures see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from drmviz.errors import InvalidValueError
from drmviz.model.cloud import CloudUsage
from drmviz.model.decisions import FleetChange, ScalingDecision, ScalingPolicy
from drmviz.model.metrics import METRICS, BoolArray, FloatArray, Metric, Statistic
from drmviz.model.tasks import Task
from drmviz.model.workers import Kind, Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHeader:
    """What one recorded stretch of history is, without its samples."""

    id: str
    title: str
    started_at_s: float
    """Seconds since the epoch, by the wall clock at the first tick."""
    interval_s: float
    """Nominal distance of two ticks; 0 where they come when somebody asks."""
    ended_at_s: float | None = None
    """None while it is being written, and for ever where its recorder was killed."""
    source: str = ""
    host: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known: `command` (list), `exit_code`, `pytest`, `xdist`, `workers_asked`, `python`, `drmviz`,
    `scaling_policy` (object)."""


RecordingState = Literal["finished", "being written", "cut off", "empty"]
"""Cut off: its recorder ended without closing it. Empty: nothing was measured in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One of the files that were read as one, or one that was read with an offset."""

    name: str
    """By which its workers, providers and decisions are told apart; never with a slash."""
    store: str
    """Path of the file."""
    host: str
    """Where it was recorded; empty where that is not known."""
    run_ids: tuple[str, ...]
    offset_s: float
    """Seconds that were added to every time of the file; 0 is recorded wall time."""
    first_s: float | None
    """When the first of what is read of it was measured, offset included; None where nothing was."""
    end_s: float | None
    """Just after the last of it."""
    state: RecordingState
    exit_code: Any = None
    """Of the recorded command; None where not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReach:
    """What is kept of a history at one resolution."""

    tier: str
    """`raw`, `10 s`, `1 min` or `10 min`."""
    bucket_s: float
    """0 for raw ticks."""
    first_s: float
    """Seconds since the epoch: from here on it is kept; `end_s` is not included."""
    end_s: float
    bytes: int
    """Packed, without what the file adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A window of one recorded run.

    Columns are equally wide, lie on whole multiples of the interval since the epoch, and never split a tick. A
    worker that lived in a column but was not measured there is NaN and alive; one that did not live is not alive.
    """

    header: RunHeader
    start_s: float
    end_s: float
    starts_at_s: FloatArray
    """float64, shape (columns,), seconds since the epoch."""
    width_s: float
    workers: tuple[Worker, ...]
    grids: Mapping[tuple[Metric, Statistic], FloatArray]
    """float32, shape (workers, columns), for each pair that was asked for."""
    alive: BoolArray
    """bool, shape (workers, columns)."""
    measured_ticks: int = 0
    """How many ticks fell into the window."""
    decisions: tuple[ScalingDecision, ...] = ()
    changes: tuple[FleetChange, ...] = ()
    tasks: tuple[Task, ...] = ()
    cloud: tuple[CloudUsage, ...] = ()
    """By time; the first of a provider may lie before the window: it is what held when the window began."""
    means: Mapping[Metric, FloatArray] = field(default_factory=dict)
    """float64, shape (workers,): the mean over every measured tick of the window; see `mean_of`."""
    tiers: tuple[TierReach, ...] = ()
    """How far back each tier reaches, whatever the window, finest first; empty where nobody asked."""
    notes: tuple[str, ...] = ()
    """What the reader of this history should know: damage, a clock that jumped, a recorder that was killed."""
    origins: tuple[Origin, ...] = ()
    """The files that were read as one, in the order they were named; empty where one was read as it stands."""
    _known: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Columns of facts about workers that were asked for: thousands of workers are gone through once."""

    @property
    def columns(self) -> int:
        return len(self.starts_at_s)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all was measured in the window."""
        return self.measured_ticks == 0 or not self.workers

    def values(self, metric: Metric, statistic: Statistic = "mean") -> FloatArray:
        """Return float32 of shape (workers, columns), NaN where not measured.

        Raises:
            InvalidValueError: the metric was not read together with this run.
        """
        grid = self.grids.get((metric, statistic))
        if grid is None:
            have = ", ".join(f"{m} ({s})" for m, s in self.grids) or "none"
            raise InvalidValueError("metric", metric, f"the {statistic} of it was not read; this run holds {have}")
        return grid

    def is_measured(self, metric: Metric, statistic: Statistic = "mean") -> bool:
        """Tell whether the metric was read and has at least one number in it."""
        grid = self.grids.get((metric, statistic))
        if grid is None:
            return False
        measured: bool = self.once(f"measured {metric} {statistic}", lambda: bool(np.isfinite(grid).any()))
        return measured

    def mean_of(self, metric: Metric) -> FloatArray:
        """Return float64 of shape (workers,): the mean over what was measured in the window, NaN where nothing was.

        Samples of who came back with another capacity weigh by what there was at the time.

        Raises:
            InvalidValueError: the mean of the metric was not read together with this run.
        """
        known = self.means.get(metric)
        if known is not None:
            return known
        grid = np.where(self.alive, self.values(metric), np.nan)
        counts = np.isfinite(grid).sum(axis=1)
        sums = np.nan_to_num(grid).sum(axis=1, dtype=np.float64)
        means: FloatArray = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        return means

    def highest_of(self, metric: Metric) -> FloatArray:
        """Return float64 of shape (workers,): the highest value of each worker, NaN where nothing was measured.

        Raises:
            InvalidValueError: the maximum of the metric was not read together with this run.
        """
        grid = np.where(self.alive, self.values(metric, "max"), np.nan).astype(np.float64)
        highest: FloatArray = np.fmax.reduce(grid, axis=1, initial=np.nan)
        return highest

    def rows_of_kind(self, kind: Kind) -> tuple[int, ...]:
        """Return the rows of workers, of processes, of hosts or of GPUs."""
        kinds = self._column("kind", lambda worker: worker.kind)
        rows: tuple[int, ...] = self.once(f"rows of {kind}", lambda: tuple(i for i, k in enumerate(kinds) if k == kind))
        return rows

    def capacities(self, name: str) -> FloatArray:
        """Return one field of `WorkerCapacity` of every worker: float64, shape (workers,), NaN where not known."""

        def stated() -> FloatArray:
            values = [getattr(worker.capacity, name) for worker in self.workers]
            column = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            column.setflags(write=False)
            return column

        capacities: FloatArray = self.once(f"capacity {name}", stated)
        return capacities

    def labelled(self, key: str) -> tuple[str | None, ...]:
        """Return what each worker's labels say under that key, None where they say nothing."""
        return self._column(f"label {key}", lambda worker: dict(worker.latest.entry.labels).get(key) or None)

    def _column(self, name: str, of: Callable[[Worker], Any]) -> tuple[Any, ...]:
        column: tuple[Any, ...] = self.once(name, lambda: tuple(of(worker) for worker in self.workers))
        return column

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what was worked out under this name before, or work it out; whatever it is must not be changed."""
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    @property
    def policy(self) -> ScalingPolicy:
        """What the fleet was scaled by, as far as it was recorded."""
        stated = self.header.facts.get("scaling_policy")
        return ScalingPolicy.of(stated) if isinstance(stated, Mapping) else ScalingPolicy()

    def is_known(self, metric: Metric) -> bool:
        """Tell whether there is at least one number of the metric, be it nothing but the mean of a window."""
        means = self.means.get(metric)
        return self.is_measured(metric) or (means is not None and bool(np.isfinite(means).any()))

    @classmethod
    def empty(cls, header: RunHeader) -> Run:
        """Return the window of a run in which nothing has been measured yet."""
        nothing = np.empty((0, 0), dtype=np.float32)
        return cls(
            header=header,
            start_s=header.started_at_s,
            end_s=header.started_at_s,
            starts_at_s=np.empty(0),
            width_s=header.interval_s or 1.0,
            workers=(),
            grids={(metric, statistic): nothing for metric in METRICS for statistic in ("mean", "max")},
            alive=np.empty((0, 0), dtype=np.bool_),
        )
