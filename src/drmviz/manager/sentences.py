"""The reasons of scaling decisions, in words."""

from __future__ import annotations

from collections.abc import Sequence

from drmviz.manager.fleet_view import Signal, WorkerType
from drmviz.model.decisions import ScalingDecision

_NAMES: dict[WorkerType, str] = {"cpu": "CPU", "memory": "Memory", "gpu": "GPU"}


def percent(ratio: float, *, beside: float | None = None) -> str:
    """Write a share, exactly enough to tell it from another one that it differs from."""
    for digits in range(4):
        text = f"{ratio * 100:.{digits}f} %"
        if beside is None or ratio == beside or text != f"{beside * 100:.{digits}f} %":
            break
    return text


def seconds(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s >= 1 else f"{duration_s:.1f} s"


def workers(count: int, *, more: bool = False) -> str:
    return f"{count} {'more ' if more else ''}worker{'' if count == 1 else 's'}"


def verb(count: int, plural: str) -> str:
    return f"{plural}s" if count == 1 else plural


def lasting(duration_s: float) -> str:
    """Say for how long; nothing of what began this moment."""
    return f" for {seconds(duration_s)}" if duration_s else ""


def requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def given_up(decision: ScalingDecision, why: str) -> str:
    doing = "Growing" if decision.action == "scale_up" else "Shrinking"
    return f"{doing} by {workers(decision.count)} was given up: {why}"


def names(ids: Sequence[str], *, most: int = 3, longest: int = 40) -> str:
    """List the first few names, shortened, and how many others there are."""
    shown = [name if len(name) <= longest else name[: longest - 1] + "…" for name in ids[:most]]
    rest = len(ids) - len(shown)
    return ", ".join(shown) + (f" and {workers(rest, more=True)}" if rest else "")


def state_of(signal: Signal, threshold: float, relation: str) -> str:
    """Say where a signal stands: "CPU 86 % over 80 % for 90 s"."""
    value, limit = percent(signal.value, beside=threshold), percent(threshold)
    name = _NAMES[signal.resource]
    subject = f"{name} {value}" if signal.is_measured else f"{name} {value} reserved (its use is not measured)"
    return f"{subject} {'at' if signal.value == threshold else relation} {limit}{lasting(signal.window_s)}"
