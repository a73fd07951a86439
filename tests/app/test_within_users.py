"""What the dashboard tells of systems that were asked about all of a user's test samples at once."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from laser_core import figures
from laser_core.study import contrast
from laser_core.study.store import ResultStore
from tests.app.made_up import SYSTEMS, add_cell
from tests.app.test_pages import chart, no_trouble, text_of


@pytest.fixture
def asked(small, tmp_path, monkeypatch) -> ResultStore:
    """A store in which all but one system were asked at once: made up, as their usual answers are."""
    store = ResultStore(tmp_path / "asked")
    for system, skill in SYSTEMS.items():
        for shots in (64, 1024):
            for seed in (0, 1):
                add_cell(store, small, system, shots, seed, skill, "all")
    for row in store.cells().itertuples():
        if row.system != "din":
            said = store.predictions(row.key)
            store.write_at_once(row.key, {"row": said["row"].to_numpy(), "probability": said["probability"].to_numpy()}, {})
    monkeypatch.setenv("LASER_STORE", str(store.folder))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "recorded"))
    return store


def at_64(store: ResultStore):
    cells = store.cells()
    return cells[(cells["shots"] == 64) & cells["key"].isin(store.asked_at_once())]


def test_compare_shows_gauc_and_its_gaps(asked, open_page):
    page = open_page("compare.py", view="within", n="64")
    no_trouble(page)
    points = contrast.within_users(asked.at_once, at_64(asked)).set_index("system")
    drawn = {trace["y"][0]: trace["x"][0] for trace in chart(page, 1)["data"][1:]}
    assert drawn == pytest.approx({figures.system_label(system): points.loc[system, "gauc"] for system in ("history-lr", "laser-llm")})
    gaps = contrast.gaps(asked.at_once, at_64(asked), ("history-lr", ""), "gauc")
    assert page.dataframe[-1].value["Gap"].tolist() == pytest.approx(gaps["gap"].tolist())
    drawn = next(one for one in page.multiselect if one.label == "Systems that were asked at once")
    assert drawn.options == [figures.system_label(system) for system in ("history-lr", "laser-llm")]
    none = open_page("compare.py", view="within", n="64", asked="none")
    no_trouble(none)
    assert "Nothing to draw" in none.info[-1].value


def test_curves_of_gauc(asked, open_page):
    page = open_page("efficiency.py", metric="gauc")
    no_trouble(page)
    lines = {trace["name"]: trace["y"] for trace in chart(page)["data"] if trace.get("mode") == "lines+markers"}
    cells = asked.cells()
    points = contrast.within_users(asked.at_once, cells[cells["key"].isin(asked.asked_at_once())])
    assert set(lines) == {figures.system_label(system) for system in ("history-lr", "laser-llm")}
    for system, own in points.groupby("system"):
        drawn = np.frombuffer(base64.b64decode(lines[figures.system_label(system)]["bdata"]))
        np.testing.assert_allclose(drawn, own.sort_values("train_rows")["gauc"])


def test_overview_tells_who_is_ahead_within_users(asked, open_page):
    found = contrast.verdict(asked.at_once, at_64(asked), 64, "gauc")
    words = text_of(open_page("overview.py", n="64")).replace("\\", "")
    said = next(line for line in words.splitlines() if line.startswith("Of one user's next items, asked about at one moment: "))
    assert f"**{found.gap:+.3f} GAUC** (95 % interval {found.low:+.3f} to {found.high:+.3f})" in said
    assert f"{found.test_rows:,} of them, 2 seeds" in words.partition("Of one user's items: ")[2]


@pytest.mark.parametrize(("page", "address"), [("compare.py", {"view": "within"}), ("efficiency.py", {"metric": "gauc"})])
def test_what_was_not_asked_at_once_names_the_command(page, address, stores, open_page):
    shown = open_page(page, **address)
    no_trouble(shown)
    assert "laser study at-once within-users" in [code.value for code in shown.code]
    assert "asked about at one moment" not in text_of(open_page("overview.py"))
