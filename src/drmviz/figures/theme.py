"""Colours and fonts of the two themes, and the ramp whose low end recedes into the surface."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from drmviz.figures.base import ThemeName
from drmviz.model.metrics import FloatArray

SANS = 'Inter, "Inter var", system-ui, -apple-system, "Segoe UI", Roboto, sans-serif'
MONO = 'ui-monospace, "JetBrains Mono", "SF Mono", "DejaVu Sans Mono", Menlo, monospace'


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Named by what a colour is for."""

    name: ThemeName
    page: str
    surface: str
    raised: str
    line: str
    line_strong: str
    ink: str
    ink_soft: str
    ink_faint: str
    track: str
    """The ground of a bar, and of a cell that was not measured."""
    accent: str
    good: str
    bad: str
    up: str
    down: str
    neutral: str
    """Skipped, or otherwise without a verdict."""


LIGHT = Theme(
    name="light",
    page="#f4f6f9",
    surface="#ffffff",
    raised="#f2f5f9",
    line="#e3e8ef",
    line_strong="#cfd7e2",
    ink="#141b26",
    ink_soft="#48566a",
    ink_faint="#5c6a80",
    track="#e9edf3",
    accent="#0a6bb5",
    good="#00906b",
    bad="#b93c0a",
    up="#0a6bb5",
    down="#a85a00",
    neutral="#aab4c2",
)
DARK = Theme(
    name="dark",
    page="#0c1016",
    surface="#131922",
    raised="#1a222d",
    line="#232d3a",
    line_strong="#2f3b4b",
    ink="#e8edf4",
    ink_soft="#a3b0c0",
    ink_faint="#7d8b9d",
    track="#222c39",
    accent="#5aaef2",
    good="#35c29a",
    bad="#ff7a52",
    up="#5aaef2",
    down="#f0a440",
    neutral="#566375",
)
THEMES: dict[ThemeName, Theme] = {"light": LIGHT, "dark": DARK}


@lru_cache(maxsize=8)
def ramp(name: ThemeName, *, steps: int = 256) -> npt.NDArray[np.uint8]:
    """Return uint8 RGB of shape (steps, 3): lightness falls or rises evenly, so equal steps look equal."""
    t = np.linspace(0.0, 1.0, steps)
    if name == "light":
        return _srgb(0.965 - 0.635 * t, 0.02 + 0.12 * np.sin(np.pi * (0.12 + 0.74 * t)), 150 + 125 * t**0.9)
    return _srgb(0.235 + 0.675 * t, 0.045 + 0.11 * np.sin(np.pi * (0.1 + 0.8 * t)), 278 - 178 * t**1.05)


def colour_scale(name: ThemeName, *, stops: int = 33) -> list[list[float | str]]:
    """Return the ramp as Plotly takes it."""
    return [[i / (stops - 1), hexadecimal(rgb)] for i, rgb in enumerate(ramp(name, steps=stops).tolist())]


def hexadecimal(rgb: list[int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def rgb_of(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mixed(colour: str, ground: str, share: float) -> str:
    """Return the colour as it looks through the ground, opaque to that share."""
    pairs = zip(rgb_of(colour), rgb_of(ground), strict=True)
    return hexadecimal([round(over * share + under * (1 - share)) for over, under in pairs])


def _srgb(lightness: FloatArray, chroma: FloatArray, hue_degrees: FloatArray) -> npt.NDArray[np.uint8]:
    """Turn OKLCH into sRGB, clipped to what a screen can show."""
    a = chroma * np.cos(np.radians(hue_degrees))
    b = chroma * np.sin(np.radians(hue_degrees))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.707614701 * short,
        ],
        axis=-1,
    ).clip(0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    colours: npt.NDArray[np.uint8] = np.rint(255 * encoded).astype(np.uint8)
    return colours
