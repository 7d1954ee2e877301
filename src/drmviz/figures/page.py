"""One HTML file that opens offline, and the parts that a page with several figures is put together from."""

from __future__ import annotations

import html
from functools import lru_cache
from importlib.resources import files

from drmviz.figures.base import PlotlySpec, ThemeName
from drmviz.figures.bundle import compressed_bundle
from drmviz.figures.encoding import to_page_json
from drmviz.figures.names import drawn
from drmviz.figures.theme import SANS, THEMES

PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is fetched from anywhere, whatever a name in the data says."""


def bundle_script_html() -> str:
    """Return the element that carries Plotly; once for each page."""
    return f'<script type="text/plain" id="drmviz-plotly">{compressed_bundle()}</script>\n'


def figure_block_html(element_id: str, spec: PlotlySpec, description: str) -> str:
    """Return one figure: its place, its words for those who cannot see it, and its numbers.

    The id must be unique in its page.
    """
    name = html.escape(element_id, quote=True)
    alt = html.escape(drawn(description, limit=2000), quote=True)
    height = int(spec["layout"].get("height", 450))
    return (
        f'<div class="drmviz-figure" id="{name}" role="img" aria-label="{alt}" data-height="{height}">'
        f"<noscript><p>{alt} Switch JavaScript on to see it.</p></noscript></div>\n"
        f'<script type="application/json" data-figure="{name}">{to_page_json(spec).decode()}</script>\n'
    )


def loader_script_html() -> str:
    """Return the script that draws all figures of the page; after the last of them."""
    return f"<script>\n{loader_script()}</script>\n"


@lru_cache(maxsize=1)
def loader_script() -> str:
    """Return what draws figures: those of the page it stands in, or those that a served page hands to it."""
    return files("drmviz.figures").joinpath("page.js").read_text("utf-8")


def to_html(spec: PlotlySpec, *, title: str, description: str, theme: ThemeName = "light") -> bytes:
    """Return one self-contained page with one figure."""
    colours = THEMES[theme]
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{PAGE_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="{theme}">\n'
        f'<meta name="description" content="{html.escape(drawn(description, limit=500), quote=True)}">\n'
        f"<title>{html.escape(drawn(title, limit=200))}</title>\n<style>\n"
        f"body{{margin:0;padding:16px;background:{colours.page};color:{colours.ink};font:13px/1.45 {SANS}}}\n"
        f"main{{max-width:1480px;margin:0 auto;background:{colours.surface};border:1px solid {colours.line};"
        "border-radius:12px;overflow:hidden}\nnoscript p{padding:16px}\n"
        "@media (max-width:640px){body{padding:0}main{border:0;border-radius:0}}\n</style>\n</head>\n<body>\n<main>\n"
    )
    return "".join(
        (head, figure_block_html("figure", spec, description), "</main>\n", bundle_script_html(),
         loader_script_html(), "</body>\n</html>\n")
    ).encode()  # fmt: skip
