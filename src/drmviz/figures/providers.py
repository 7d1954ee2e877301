"""How providers are told apart: a colour and a shape for each, the same in every figure of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from drmviz.figures.base import ThemeName
from drmviz.model.run import Run

MOST = 6
"""So many providers get a look of their own, the others share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One provider's colour, and its shape as Plotly, Matplotlib and a line of text have it."""

    colour: str
    symbol: str
    marker: str
    sign: str


_COLOURS: dict[ThemeName, tuple[str, ...]] = {
    "light": ("#0a6bb5", "#a85a00", "#00806a", "#b0478f", "#5a55c8", "#7a6a00"),
    "dark": ("#5aaef2", "#f0a440", "#35c29a", "#e08cc8", "#a79cf5", "#c9bc4b"),
}
_OTHERS: dict[ThemeName, str] = {"light": "#6b788a", "dark": "#8593a5"}
_SHAPES = (
    ("circle", "o", "●"), ("square", "s", "■"), ("diamond", "D", "◆"),
    ("triangle-up", "^", "▲"), ("triangle-down", "v", "▼"), ("cross", "P", "✚"),
)  # fmt: skip
_OTHER_SHAPE = ("x", "X", "✕")


def provider_of(labels: tuple[tuple[str, str], ...]) -> str | None:
    """Return where a worker runs, as its labels say."""
    return next((value for key, value in labels if key == "provider" and value), None)


def providers_of(run: Run) -> tuple[str, ...]:
    """Return every provider of the run, named by workers or by what was observed of clouds, by name.

    Where there are more than get a look of their own, those with most workers come before the others.
    """
    size = Counter(run.labelled("provider"))
    for worker in run.workers:
        for life in worker.incarnations[:-1]:  # who came back may have run elsewhere before
            size.setdefault(provider_of(life.entry.labels), 0)
    for usage in run.cloud:
        size[usage.provider] = max(size[usage.provider], usage.workers or 0)
    by_name = sorted((name for name in size if name is not None), key=lambda name: (name.casefold(), name))
    largest = set(sorted(by_name, key=lambda name: -size[name])[:MOST])
    return tuple(sorted(by_name, key=lambda name: name not in largest))


def look_of(provider: str | None, providers: tuple[str, ...], theme: ThemeName) -> Look:
    """Return the look of a provider among all providers of the run; None and those beyond the first few share one."""
    place = providers.index(provider) if provider in providers else MOST
    if place >= MOST:
        symbol, marker, sign = _OTHER_SHAPE
        return Look(colour=_OTHERS[theme], symbol=symbol, marker=marker, sign=sign)
    symbol, marker, sign = _SHAPES[place]
    return Look(colour=_COLOURS[theme][place], symbol=symbol, marker=marker, sign=sign)
