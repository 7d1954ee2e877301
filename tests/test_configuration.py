"""Settings: options, then the environment, then the project, then the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from drmviz.configuration import data_folder, new_store_path, newest_store, read_settings, recorded_stores
from drmviz.errors import UsageError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.drmviz]\ninterval = 2\ntheme = 'dark'\nlabels = { team = 'search' }\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text("interval = 3\nstore = 'mine.drmviz'\n")
    (tmp_path / "inner").mkdir()
    return tmp_path


def test_each_place_yields_to_the_one_before_it(project: Path) -> None:
    home = {"DRMVIZ_HOME": str(project / "home")}

    everything = read_settings(
        options={"interval": "0.25", "store": None}, environ={**home, "DRMVIZ_INTERVAL": "1"}, folder=project / "inner"
    )
    from_environment = read_settings(environ={**home, "DRMVIZ_INTERVAL": "1"}, folder=project / "inner")
    from_project = read_settings(environ=home, folder=project / "inner")

    assert everything.interval_s == 0.25
    assert everything.origins["interval"] == "the command line"
    assert from_environment.interval_s == 1.0
    assert from_project.interval_s == 2.0
    assert (from_project.theme, from_project.store) == ("dark", Path("mine.drmviz"))
    assert from_project.labels == {"team": "search"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval = 'soon'", "it must be a number of seconds"),
        ("interval = true", "it must be a number of seconds"),
        ("interval = 0", "it must be a number of seconds"),
        ("interval = nan", "it must be a number of seconds"),
        ("theme = 'pink'", "it must be light or dark"),
        ("store = 5", "it must be a path"),
        ("labels = 'x'", "it must be a table"),
        ("speed = 1", "'speed' is not a setting"),
        ("interval = ", "cannot be read"),
    ],
)
def test_a_wrong_setting_names_its_place_and_the_reason(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.drmviz]\n{text}\n")

    with pytest.raises(UsageError, match=said) as caught:
        read_settings(environ={"DRMVIZ_HOME": str(tmp_path)}, folder=tmp_path)

    assert "pyproject.toml" in str(caught.value)


def test_drmviz_home_moves_everything_and_the_newest_store_is_the_last_begun(tmp_path: Path) -> None:
    environ = {"DRMVIZ_HOME": str(tmp_path / "home")}
    with pytest.raises(UsageError, match="Nothing is recorded"):
        newest_store(environ)

    paths = [new_store_path(at_s, unique, environ) for at_s, unique in ((0, "b"), (90_000, "a"), (86_399, "c"))]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert data_folder(environ) == tmp_path / "home"
    assert [path.name for path in recorded_stores(environ)] == [
        "19700101T000000Z-b.drmviz",
        "19700101T235959Z-c.drmviz",
        "19700102T010000Z-a.drmviz",
    ]
    assert newest_store(environ) == paths[1]
