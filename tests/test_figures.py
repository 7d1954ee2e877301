"""What every figure of the table keeps, in every state, library and format; and how pictures become files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drmviz.errors import MissingExtraError, OutputError, UsageError
from drmviz.figures import FIGURES, bundle, load
from drmviz.figures.base import CellText, FigureOptions
from drmviz.figures.bundle import compressed_bundle, gzipped_bundle
from drmviz.figures.canvas import drawable
from drmviz.figures.encoding import quantised, to_json, to_page_json
from drmviz.figures.names import drawn, escaped
from drmviz.figures.saving import FORMATS, content, figure, save_matplotlib, write
from drmviz.figures.units import duration, iso, size, ticks
from tests.building import START_S, ran, recorded
from tests.contact_sheet import hostile, states

HEATMAP = "resource_utilization_heatmap"
STATES = states()
BEGINS = {"html": b"<!doctype html>", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "json": b'{"data"'}


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("DRMVIZ_HOME")
    os.environ["DRMVIZ_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield
    os.environ.pop("DRMVIZ_HOME")
    if before is not None:
        os.environ["DRMVIZ_HOME"] = before


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("stem", FIGURES)
@pytest.mark.parametrize("kind", ["html", "png", "json"])
def test_every_figure_is_drawn_in_every_state(stem: str, state: str, kind: str) -> None:
    written = content(stem, STATES[state], kind, FigureOptions(theme="dark"))

    assert written.startswith(BEGINS[kind])
    if kind == "png":
        assert Image.open(io.BytesIO(written)).size[0] in (1200, 1800)


@pytest.mark.parametrize("stem", FIGURES)
@pytest.mark.parametrize("kind", ["svg", "pdf"])
@pytest.mark.parametrize("state", ["hostile names", "30 workers, gaps and absences", "empty"])
def test_every_figure_is_drawn_as_a_page_to_print(stem: str, kind: str, state: str) -> None:
    assert content(stem, STATES[state], kind).startswith(BEGINS[kind])


@pytest.mark.parametrize("state", [state for state in STATES if state != "1000 workers"])
@pytest.mark.parametrize("stem", FIGURES)
def test_plotly_accepts_every_spec_and_its_own_json_again(stem: str, state: str) -> None:
    import plotly.graph_objects as graph_objects

    made = figure(stem, STATES[state])
    read = json.loads(content(stem, STATES[state], "json"))

    assert isinstance(made, graph_objects.Figure)
    assert len(graph_objects.Figure(read).data) == len(made.data) == len(read["data"])


@pytest.mark.parametrize("stem", FIGURES)
def test_every_row_of_the_table_holds_the_contract(stem: str) -> None:
    module, info = load(stem), FIGURES[stem]

    for name in ("needs", "means", "arrange", "draw_plotly", "draw_matplotlib", "describe"):
        assert callable(getattr(module, name)), name
    assert info.stem == stem
    assert module.describe(module.arrange(STATES["3 workers"], FigureOptions())).endswith(".")


@pytest.mark.parametrize("stem", FIGURES)
def test_a_title_and_a_size_are_taken(stem: str) -> None:
    options = FigureOptions(title="Night run", width=1000, height=900)

    layout = json.loads(content(stem, STATES["3 workers"], "json", options))["layout"]
    picture = Image.open(io.BytesIO(content(stem, STATES["3 workers"], "png", options)))

    assert layout["title"]["text"] == "<b>Night run</b>"
    assert (layout["width"], abs(layout["height"] - 900) < 10) == (1000, True)
    assert picture.size[0] in (1000, 1500)
    assert abs(picture.size[1] / picture.size[0] - 900 / 1000) < 0.02


def test_an_unknown_figure_names_the_choices() -> None:
    with pytest.raises(UsageError, match=r"no figure 'pie'.*resource_utilization_heatmap, .*test_timeline"):
        load("pie")


def test_importing_the_table_and_writing_html_loads_neither_library(tmp_path: Path) -> None:
    code = (
        "import sys; import drmviz.figures; from drmviz.figures.saving import write; from pathlib import Path;"
        "from tests.building import recorded;"
        f"write('{HEATMAP}', recorded({{'a': [0.5]}}), Path(sys.argv[1]));"
        "print([name for name in sys.modules if name.split('.')[0] in ('plotly', 'matplotlib')])"
    )
    environment = os.environ | {"DRMVIZ_HOME": str(tmp_path)}

    ran_code = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.html")], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip

    assert ran_code.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", FORMATS)
def test_the_suffix_decides_and_case_does_not_matter(tmp_path: Path, kind: str) -> None:
    path = write(HEATMAP, STATES["one tick"], tmp_path / f"picture.{kind.upper()}")

    assert path.read_bytes().startswith(BEGINS[kind])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_another_suffix_is_wrong_use_and_names_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'x.gif'.*\.html, \.png, \.svg, \.pdf, \.json"):
        write(HEATMAP, STATES["one tick"], tmp_path / "x.gif")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match=r"file/x\.json"):
        write(HEATMAP, STATES["one tick"], tmp_path / "file" / "x.json")


def test_a_matplotlib_figure_can_be_saved_by_itself(tmp_path: Path) -> None:
    module = load(HEATMAP)
    made = module.draw_matplotlib(module.arrange(STATES["one tick"], FigureOptions()), FigureOptions())

    save_matplotlib(made, tmp_path / "x.png", "png")

    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_png_carries_words_for_those_who_cannot_see_it() -> None:
    picture = Image.open(io.BytesIO(content(HEATMAP, recorded({"gw0 é": [0.5]}), "png")))

    picture.load()

    assert picture.text["Description"].startswith("Heatmap of CPU (mean 50 %) of pytest -n 2")  # type: ignore[attr-defined]


def test_the_still_picture_shows_the_colours_of_its_numbers() -> None:
    from drmviz.figures.theme import ramp

    run = recorded({"a": [0.0, 1.0], "b": [None, 0.5]}, absent={"b": [0]})
    picture = Image.open(io.BytesIO(content(HEATMAP, run, "png", FigureOptions(metric="cpu_ratio")))).convert("RGB")
    scale, colours = picture.size[0] / 1200, ramp("light", steps=250)

    def at(x: float, y: float) -> tuple[int, ...]:
        pixel = picture.getpixel((int(x * scale), int(y * scale)))
        assert isinstance(pixel, tuple)
        return pixel

    assert at(200, 64 + 30 + 13) == tuple(colours[0])
    assert at(900, 64 + 30 + 13) == tuple(colours[249])
    assert at(200, 64 + 30 + 26 + 8) == (255, 255, 255)


def test_several_threads_draw_at_once_and_get_the_same_picture() -> None:
    pictures: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: pictures.append(content("test_timeline", STATES["no GPU"], "png")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(pictures)) == 1
    assert len(pictures) == 4


def test_svg_and_pdf_of_the_same_run_are_the_same_bytes_but_for_ids() -> None:
    assert content(HEATMAP, STATES["one tick"], "pdf") == content(HEATMAP, STATES["one tick"], "pdf")


@pytest.mark.parametrize(
    ("values", "kind", "step"),
    [
        ([[0.0, 50.04, np.nan, 100.0]], "uint16", 0.1),
        (np.full((300, 300), 127.0), "uint8", 0.5),
        (np.full((300, 300), 127.5), "uint8", 1.0),
        (np.full((300, 300), 254.5), "uint16", 0.1),
        ([[7000.0]], "float32", 0.0),
    ],
)
def test_numbers_are_cut_to_the_smallest_kind_that_shows_them(
    values: list[list[float]], kind: str, step: float
) -> None:
    given = np.array(values, dtype=np.float32)

    packed, used = quantised(given)

    assert (packed.dtype.name, used) == (kind, step)
    if step:
        unknown = 2 ** (8 * packed.dtype.itemsize) - 1
        back = np.where(packed == unknown, np.nan, packed * step)
        np.testing.assert_allclose(back, given, atol=step / 2 + 1e-6)


def test_panels_share_their_texts_in_a_page() -> None:
    texts = CellText(texts=("one", "two"), index=np.zeros((1, 1), dtype=np.uint16))
    spec = {"data": [{"text": texts}, {"text": texts}], "layout": {}, "config": {}}

    page = json.loads(to_page_json(spec))

    assert page["data"][1]["text"] == {"same": page["data"][0]["text"]["key"]}


def test_texts_that_would_outweigh_the_numbers_are_left_out_of_json() -> None:
    big = CellText(texts=("x",), index=np.zeros((300, 300), dtype=np.uint16))
    trace = {"type": "heatmap", "text": big, "hovertemplate": "%{z}%{text}"}

    written = json.loads(to_json({"data": [trace], "layout": {}}))

    assert written["data"] == [{"type": "heatmap", "hovertemplate": "%{z}"}]


def test_the_bundle_is_compressed_once_and_a_damaged_copy_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRMVIZ_HOME", str(tmp_path))
    gzipped_bundle.cache_clear()
    first = compressed_bundle()
    (cached,) = (tmp_path / "cache").iterdir()
    whole = cached.read_bytes()

    cached.write_bytes(whole[:1000])
    gzipped_bundle.cache_clear()

    assert compressed_bundle() == first
    assert cached.read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    monkeypatch.setenv("DRMVIZ_HOME", str(tmp_path))
    gzipped_bundle.cache_clear()

    assert len(compressed_bundle()) > 1_000_000


def test_without_plotly_html_is_one_error_with_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "find_spec", lambda name: None)

    with pytest.raises(MissingExtraError, match="pip install 'plotly'"):
        bundle.bundle_path()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gw0", "gw0"),
        ("a\nb\x1b[31m\u202ec", "a·b·[31m·c"),
        ("n" * 100, "n" * 31 + "…" + "n" * 32),
        ("n" * 10_000, "n" * 31 + "…" + "n" * 32),
        ("日本語", "日本語"),
    ],
)
def test_names_are_cut_in_the_middle_and_lose_what_steers_a_line(name: str, shown: str) -> None:
    assert drawn(name) == shown
    assert len(drawn(name)) <= 64


def test_plotly_shows_an_escaped_name_as_it_is() -> None:
    assert escaped("<b>&amp;</b>") == "&lt;b&gt;&amp;amp;&lt;/b&gt;"


def test_letters_that_no_font_can_draw_become_boxes() -> None:
    assert drawable("gw0 🧪") == "gw0 □"
    assert drawable("é▲…") == "é▲…"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.34, "340 ms"),
        (2.0, "2 s"),
        (2.44, "2.4 s"),
        (59.6, "1 min"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (97200, "1 d 3 h"),
    ],
)
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 bytes"), (1536, "1.5 KiB"), (2**30, "1.0 GiB"), (300 * 2**20, "300 MiB")]
)
def test_sizes_are_written_as_people_read_them(number: int, text: str) -> None:
    assert size(number) == text


def test_moments_have_as_many_digits_as_they_need() -> None:
    assert iso(np.array([START_S])) == ["2026-09-21T14:13:20Z"]
    assert iso(np.array([START_S + 0.25])) == ["2026-09-21T14:13:20.250Z"]


def test_ticks_of_a_clock_are_round_and_not_too_many() -> None:
    moments, labels = ticks(START_S, START_S + 600, most=6)

    assert labels == ["14:14", "14:16", "14:18", "14:20", "14:22"]
    assert moments[0] == START_S + 40


def test_hostile_names_do_not_leave_their_script_element() -> None:
    page = content(HEATMAP, hostile(), "html").decode()

    assert page.count("</script>") == 3
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "onerror=alert(1)>" not in page


def test_a_page_fetches_nothing_and_says_what_it_is() -> None:
    page = content("test_timeline", recorded({"gw0": [0.5]}, tasks=[ran("t")]), "html").decode()
    head = page[: page.index("<script")]

    assert '<html lang="en">' in head
    assert "<title>Tests · pytest -n 2</title>" in head
    assert "default-src 'none'" in head
    assert 'role="img" aria-label="Timeline of pytest -n 2' in head
    assert "<noscript>" in head
    assert "http" not in head.replace("http-equiv", "")


def test_a_thousand_workers_fit_into_four_megabytes() -> None:
    assert len(content(HEATMAP, STATES["1000 workers"], "html")) < 4_000_000
