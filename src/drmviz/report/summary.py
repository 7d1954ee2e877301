"""The closing summary: five facts about a run, as lines for a terminal and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from drmviz.analysis.study import Study, study
from drmviz.model.run import Run
from drmviz.report import wording
from drmviz.report.wording import NOT_MEASURED, count, percent, size

WIDTH = 120
_LABEL = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line: words, and the name of a test between them where there is one."""

    label: str
    text: str
    name: str | None = None
    after: str = ""

    def line(self, width: int = WIDTH) -> str:
        head = f"{self.label:<{_LABEL}}{self.text}"
        if self.name is None:
            return head + self.after
        room = width - wording.columns_of(head) - len(self.after) - 1
        return f"{head} {wording.cut(self.name, max(24, room))}{self.after}"

    def markdown(self) -> str:
        name = "" if self.name is None else f" <code>{wording.markdown(wording.cut(self.name, 200))}</code>"
        return f"| **{self.label}** | {wording.markdown(self.text)}{name}{wording.markdown(self.after)} |"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Exactly five facts."""

    title: str
    busy: Fact
    host: Fact
    memory: Fact
    tail: Fact
    advice: Fact

    @property
    def facts(self) -> tuple[Fact, ...]:
        return (self.busy, self.host, self.memory, self.tail, self.advice)


def summarize(run: Run, host_run: Run | None = None, *, sums: Study | None = None) -> Summary:
    """Say what happened in five facts; `sums` saves computing them again."""
    known = sums or study(run, host_run)
    return Summary(
        title=run.header.title,
        busy=_busy(known),
        host=_host(known),
        memory=_memory(known),
        tail=_tail(known),
        advice=advice_fact(known),
    )


def lines(run: Run, host_run: Run | None = None, *, width: int = WIDTH) -> list[str]:
    """Return the five lines of the closing summary."""
    return [fact.line(width) for fact in summarize(run, host_run).facts]


def markdown(run: Run, host_run: Run | None = None) -> str:
    """Return the summary for the step summary of GitHub Actions."""
    sums = study(run, host_run)
    summary = summarize(run, host_run, sums=sums)
    outcomes = ", ".join(f"{number} {wording.markdown(outcome)}" for outcome, number in sums.table.outcomes.items())
    head = [
        f"### drmviz: {wording.markdown(wording.cut(summary.title, 120))}",
        "",
        *([f"{count(len(sums.table.rows), 'test')}: {outcomes}", ""] if outcomes else []),
        "| | |",
        "|---|---|",
    ]
    notes = [f"- {wording.markdown(wording.cut(note, 400))}" for note in run.notes]
    return "\n".join([*head, *(fact.markdown() for fact in summary.facts), *(["", *notes] if notes else []), ""])


def _busy(sums: Study) -> Fact:
    use = sums.use
    if not use.workers:
        return Fact(label="busy", text=f"{NOT_MEASURED}: no worker and no process was seen")
    who = count(len(use.workers), use.kind, "processes" if use.kind == "process" else "workers")
    over = f"over {wording.seconds(sums.wall_s)}"
    ran = "" if use.testing_ratio is None else f" (tests ran {percent(use.testing_ratio)} of the time)"
    cpu = f"CPU {percent(use.cpu.mean_ratio)} of {who}" if use.cpu.mean_ratio is not None else f"CPU of {who}"
    if use.cpu.mean_ratio is None:
        return Fact(label="busy", text=f"{cpu} {NOT_MEASURED} {over}{ran}: {_why(sums)}")
    gpu = "" if use.gpu.mean_ratio is None else f", GPU {percent(use.gpu.mean_ratio)}"
    share = use.measured_s / use.alive_s if use.alive_s > 0 else 1.0
    partly = f"; {percent(share)} of it measured" if share < 0.9 else ""
    return Fact(label="busy", text=f"{cpu} {over}{ran}, memory {percent(use.memory.mean_ratio)}{gpu}{partly}")


def _why(sums: Study) -> str:
    return "it was over before a sample was taken" if sums.wall_s < 2 else "its processes could not be read"


def _host(sums: Study) -> Fact:
    host = sums.host
    if host.cores is None:
        return Fact(label="host", text=f"{NOT_MEASURED}: the machine's capacity is not known")
    parts = []
    if host.cores_without_worker is not None:
        parts.append(f"{wording.cores(host.cores_without_worker)} of {wording.cores(host.cores)} cores had no worker")
    else:
        parts.append(count(round(host.cores), "core"))
    if host.idle_ratio is None:
        parts.append(f"CPU {NOT_MEASURED}: it was over before a second sample")
    else:
        parts.append(f"{percent(host.idle_ratio)} of the machine's CPU was idle")
        if host.idle_core_s is not None:
            parts[-1] += f" ({host.idle_core_s:.0f} core-seconds)"
    if host.memory_max_ratio is not None:
        parts.append(f"memory at most {percent(host.memory_max_ratio)}")
    return Fact(label="host", text=", ".join(parts))


def _memory(sums: Study) -> Fact:
    peak = sums.table.peak
    if peak is not None:
        where = f"highest {size(peak.bytes)} in {wording.cut(peak.worker, 24)}"
        if peak.test is None:
            return Fact(label="memory", text=f"{where}, reached before or between tests")
        return Fact(label="memory", text=f"{where}, raised by", name=peak.test)
    sampled = [worker for worker in sums.use.workers if worker.memory_peak_bytes is not None]
    if not sampled:
        return Fact(label="memory", text=f"{NOT_MEASURED}: {_why(sums)}")
    most = max(sampled, key=lambda worker: worker.memory_peak_bytes or 0.0)
    by_whom = "" if sums.table.rows else "; no tests were recorded"
    return Fact(
        label="memory",
        text=f"highest sample {size(most.memory_peak_bytes)} in",
        name=most.id,
        after=by_whom or ", test not known",
    )


def _tail(sums: Study) -> Fact:
    tail = sums.table.tail
    if tail is None:
        return Fact(label="tail", text=f"{NOT_MEASURED}: no tests were recorded, only processes")
    longest = tail.tests[0] if tail.tests else max(sums.table.rows, key=lambda row: row.last.ended_at_s).last
    if len([worker for worker in sums.table.by_worker if worker.tests]) < 2:
        slowest = sums.table.slowest(1)[0].last
        return Fact(
            label="tail",
            text="none with one worker; slowest test",
            name=slowest.name,
            after=f" ({wording.seconds(slowest.duration_s)})",
        )
    return Fact(
        label="tail",
        text=f"{wording.seconds(tail.seconds)} at the end with workers idle"
        f" ({wording.seconds(tail.idle_worker_s)} in all); {'mostly' if tail.tests else 'last'}",
        name=longest.name,
        after=f" ({wording.seconds(longest.duration_s)})",
    )


def advice_fact(sums: Study) -> Fact:
    advice = sums.advice
    saves = "" if advice.saves_s is None else f" (saves up to {wording.seconds(advice.saves_s)})"
    if advice.test is None:
        return Fact(label="advice", text=advice.sentence + saves)
    return Fact(label="advice", text=f"{advice.sentence}{saves}:", name=advice.test)
