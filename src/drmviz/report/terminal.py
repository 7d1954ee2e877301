"""Live progress in a terminal: a block that redraws itself, and plain lines where the output is piped."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from drmviz.report import wording
from drmviz.report.progress import Progress, WorkerProgress
from drmviz.report.wording import count, cut, elapsed

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

LINE_EVERY_S = 10.0
MOST_ROWS = 8
_CELL = 24


def line(progress: Progress) -> str:
    """Return one plain line: drmviz 00:41  812 tests, 2 failed  2 workers  cpu 87 %  memory 31 %."""
    parts = [f"drmviz {elapsed(progress.elapsed_s)}", _tests(progress), count(len(progress.alive), "worker")]
    for label, ratio in (("cpu", progress.mean("cpu_ratio")), ("memory", progress.mean("memory_ratio"))):
        parts.append(f"{label} {wording.percent(ratio)}")
    parts.extend(f"! {cut(status, 80)}" for status in progress.statuses)
    return "  ".join(parts)


def block(progress: Progress, *, width: int = 80, rows: int = MOST_ROWS, ascii_only: bool = False) -> RenderableType:
    """Return the live block for rich: a headline, a bar for each worker, what is wrong.

    More workers than rows become a compact grid, and what does not fit there is counted.
    """
    from rich.console import Group

    width = max(30, width)
    drawn = [_headline(progress, width)]
    if len(progress.workers) <= rows:
        drawn.extend(_row(worker, width, ascii_only=ascii_only) for worker in progress.workers)
    else:
        drawn.extend(_grid(progress.workers, width, rows=rows, ascii_only=ascii_only))
    drawn.extend(_styled((f" ! {cut(status, width - 4)}", "yellow")) for status in progress.statuses[:3])
    return Group(*drawn)


class LiveProgress:
    """Shows progress on one stream until closed; a redrawn block on a terminal, a line every 10 s elsewhere."""

    def __init__(self, stream: TextIO, *, every_s: float = LINE_EVERY_S) -> None:
        self._stream = stream
        self._every_s = every_s
        self._next_s = every_s
        self._live: Live | None = None
        if stream.isatty():
            self._live = _started(stream)

    def show(self, progress: Progress) -> None:
        """Draw the progress if it is time to; a stream that went away is left alone."""
        try:
            if self._live is not None:
                console = self._live.console
                rows = max(2, min(MOST_ROWS, console.height - 5))
                self._live.update(
                    block(progress, width=console.width, rows=rows, ascii_only=console.options.ascii_only),
                    refresh=True,
                )
            elif progress.elapsed_s >= self._next_s:
                self._next_s = (progress.elapsed_s // self._every_s + 1) * self._every_s
                self._stream.write(_encodable(line(progress), self._stream) + "\n")
                self._stream.flush()
        except (OSError, ValueError):  # closed by whoever reads us; the run goes on
            self._live = None
            self._next_s = float("inf")

    def say(self, words: str) -> None:
        """Write one line that stays, above the block where there is one."""
        words = f"drmviz: {wording.clean(words)}"
        try:
            if self._live is not None:
                self._live.console.print(words, soft_wrap=True)
            else:
                self._stream.write(_encodable(words, self._stream) + "\n")
                self._stream.flush()
        except (OSError, ValueError):  # closed by whoever reads us; the run goes on
            self._live = None
            self._next_s = float("inf")

    def close(self) -> None:
        """Take the block away and give the terminal back."""
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                return


def _started(stream: TextIO) -> Live:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream, markup=False, highlight=False, emoji=False)
    live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
    live.start()
    return live


def _encodable(text: str, stream: TextIO) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _tests(progress: Progress) -> str:
    total = "" if progress.tests_total is None else f"/{progress.tests_total}"
    one = progress.tests_done == 1 and not total
    failed = f", {progress.tests_failed} failed" if progress.tests_failed else ""
    return f"{progress.tests_done}{total} test{'' if one else 's'}{failed}"


def _headline(progress: Progress, width: int) -> Text:
    parts: list[tuple[str, str]] = [
        ("drmviz ", "bold"),
        (elapsed(progress.elapsed_s), ""),
        (f"  {_tests(progress)}", "bold red" if progress.tests_failed else "bold green"),
    ]
    if progress.tests_running:
        parts.append((f"  {progress.tests_running} running", "dim"))
    parts.append((f"  {count(len(progress.alive), 'worker')}", ""))
    for label, ratio in (("cpu", progress.mean("cpu_ratio")), ("memory", progress.mean("memory_ratio"))):
        if ratio is not None:
            parts.append((f"  {label} {wording.percent(ratio)}", ""))
    text = _styled(*parts)
    text.truncate(width, overflow="ellipsis")
    return text


def _row(worker: WorkerProgress, width: int, *, ascii_only: bool) -> Text:
    bar_width = 20 if width >= 70 else 10
    name_width = 12 if width >= 70 else 8
    name = cut(worker.id, name_width)
    head = [(f" {name}{' ' * (name_width - wording.columns_of(name))} ", "bold" if worker.state == "alive" else "dim")]
    if worker.state != "alive":
        sign = "x" if worker.state == "crashed" else "-"
        style = "bold red" if worker.state == "crashed" else "dim"
        return _styled(*head, (f"{sign} {worker.state}", style))
    filled, empty, style = _bar(worker.cpu_ratio, bar_width, ascii_only=ascii_only)
    cpu = "  ? %" if worker.cpu_ratio is None else f"{min(999, round(worker.cpu_ratio * 100)):>3} %"
    memory = "" if worker.memory_ratio is None else f"  mem {min(999, round(worker.memory_ratio * 100)):>3} %"
    head += [(filled, style), (empty, "dim"), (f" {cpu}{memory}", "")]
    text = _styled(*head)
    room = width - text.cell_len - 3
    if room >= 10:
        text.append("  " + (cut(worker.test, room) if worker.test else "idle"), style="" if worker.test else "dim")
    return text


def _grid(workers: tuple[WorkerProgress, ...], width: int, *, rows: int, ascii_only: bool) -> list[Text]:
    across = max(1, (width - 1) // _CELL)
    places = across * rows
    shown = workers if len(workers) <= places else workers[: places - 1]
    lines = []
    for start in range(0, len(shown), across):
        cells = [part for worker in shown[start : start + across] for part in _cell(worker, ascii_only=ascii_only)]
        lines.append(_styled((" ", ""), *cells))
    left_over = len(workers) - len(shown)
    if left_over:
        lines[-1].append(f"+{left_over} more", style="dim")
    return lines


def _cell(worker: WorkerProgress, *, ascii_only: bool) -> list[tuple[str, str]]:
    name = cut(worker.id, 8)
    padded = name + " " * (8 - wording.columns_of(name)) + " "
    if worker.state != "alive":
        return [(padded, "dim"), (f"{worker.state:<14} ", "red" if worker.state == "crashed" else "dim")]
    filled, empty, style = _bar(worker.cpu_ratio, 7, ascii_only=ascii_only)
    cpu = "? %" if worker.cpu_ratio is None else f"{min(999, round(worker.cpu_ratio * 100))} %"
    return [(padded, ""), (filled, style), (empty, "dim"), (f"{cpu:>6}  ", "")]


def _bar(ratio: float | None, width: int, *, ascii_only: bool) -> tuple[str, str, str]:
    """Return the filled part, the empty part, and the style; not measured is dotted, not empty."""
    if ratio is None:
        return "", ("." if ascii_only else "·") * width, "dim"
    filled = min(width, max(0, round(ratio * width)))
    style = "red" if ratio >= 0.95 else "cyan" if ratio >= 0.5 else "blue"
    full, rest = ("#", "-") if ascii_only else ("█", "░")
    return full * filled, rest * (width - filled), style


def _styled(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop")
    for words, style in parts:
        text.append(words, style=style or None)
    return text
