"""Figures by their structure: what they draw is what the table says, and everyone can tell the systems apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from laser_core import figures
from laser_core.figures import look
from laser_core.study import contrast, paper
from laser_core.systems import SYSTEMS


def points(**changes) -> pd.DataFrame:
    """Two systems at three N."""
    rows = [
        {
            "dataset": "movielens-small", "system": system, "variant": "", "shots": shots, "train_rows": n, "labels_seen": n,
            "test_rows": 1000, "revision": 1, "data_version": "v", "current": True, "seeds": 3,
            "auc": base + place / 50, "auc_low": base + place / 50 - 0.01,
            "auc_high": base + place / 50 + 0.01, "log_loss": 0.6, "log_loss_low": 0.59, "log_loss_high": 0.61, "accuracy": 0.6, "ece": 0.1,
            "fit_seconds": 1.0 + place, "predict_seconds": 0.1, "parameters": 10.0,
        } | changes
        for system, base in (("din", 0.6), ("laser-llm", 0.7))
        for place, (shots, n) in enumerate(((64, 64), (1024, 1024), ("all", 49070)))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def lines(figure) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data if trace.showlegend is not False}


def axis_words(figure) -> str:
    return " ".join(re.sub("<[^>]*>", " ", figure.layout.xaxis.title.text).split())


# ---- the look of systems -------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("ground", ["#FFFFFF", "#0F131A"])
@pytest.mark.parametrize("system", sorted({*SYSTEMS, *look.LOOK}))
def test_colours_are_readable_on_both_themes(system, ground):
    """WCAG 2.1, 1.4.11: at least 3 : 1 for graphics."""
    dark, light = sorted([luminance(figures.style(system).colour), luminance(ground)])
    assert (light + 0.05) / (dark + 0.05) >= 3


def test_no_two_systems_look_alike():
    looks = {name: figures.style(name) for name in SYSTEMS}
    assert len({(look.colour, look.symbol) for look in looks.values()}) == len(SYSTEMS)
    of_the_paper = [look for name, look in looks.items() if SYSTEMS[name].paper_row]
    assert len({look.colour for look in of_the_paper}) == len({look.symbol for look in of_the_paper}) == len(of_the_paper)


SEEN_AS = {  # Machado, Oliveira and Fernandes (2009), severity 1
    "all colours": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
}


@pytest.mark.parametrize("eyes", SEEN_AS)
def test_colours_of_the_main_systems_stay_apart(eyes):
    """Distance in OKLab (times 100), for the systems that the demo draws together; 2 is just noticeable."""
    to_lms = np.array(
        [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]]
    )
    to_lab = np.array(
        [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]]
    )
    seen = {}
    for system in ("history-lr", "stats-lr", "lightgbm", "deepfm", "din", "laser-llm", "laser-llm-many", "laser-crm"):
        parts = np.array([int(figures.style(system).colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        seen[system] = to_lab @ np.cbrt(to_lms @ np.clip(SEEN_AS[eyes] @ linear, 0, 1)) * 100
    closest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen.values(), 2))
    assert closest > 5


def test_every_spare_look_is_readable_too():
    for colour, _ in look.SPARE:
        assert 0.117 <= luminance(colour) <= 0.3


def test_a_variant_keeps_the_colour_and_changes_marker_and_line():
    for system in (*SYSTEMS, "my-own"):
        own, variant = figures.style(system), figures.style(system, "statistics=false")
        assert own.colour == variant.colour
        assert own.symbol != variant.symbol and own.dash != variant.dash
        go.Scatter(marker={"symbol": variant.symbol}, line={"dash": variant.dash})  # Plotly knows them


def test_many_bands_do_not_hide_the_lines():
    def opacity(series: int) -> float:
        table = pd.concat([points(variant=f"k={place}") for place in range(series)])
        return max(float(trace.fillcolor.split(",")[-1].rstrip(")")) for trace in figures.sample_efficiency(table).data if trace.fillcolor)

    assert opacity(10) < opacity(1)


def test_an_unknown_system_keeps_its_look():
    """In every process and whatever else is drawn: it is by its name, whose SHA-256 begins with 79."""
    spare = look.SPARE[79 % len(look.SPARE)]
    for _ in range(2):
        assert (figures.style("my-own").colour, figures.style("my-own").symbol) == spare
        figures.style("another"), figures.style("my-own", "k=3")
    assert figures.system_label("my-own", "k=3") == "my-own (k 3)"


@pytest.mark.parametrize(
    ("variant", "words"),
    [
        ('statistics=false, titles="anonymous"', "no statistics, titles anonymous"),
        ("choose=true, hidden=[64, 32], embedding_decay=0.0", "choose, hidden [64, 32], no embedding decay"),
        ("<img src=x onerror=alert(1)> **b** =1+1", "<img src=x onerror=alert(1)> **b** =1+1"),  # no options: nothing of it is lost
    ],
)
def test_options_are_told_in_words_everywhere(variant, words):
    assert figures.system_label("din", variant) == f"DIN ({words})"
    drawn = next(iter(lines(figures.sample_efficiency(points(variant=variant)))))
    assert drawn.replace("<br>", " ") == figures.plain(f"DIN ({words})", 300)
    assert look.style_by_name("din", f"DIN ({words})") == figures.style("din", variant), "the same line in curves and in calibration"


# ---- text ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["<b>x</b>", "$a$ and $b$", "\u202eevil", "<a href='javascript:1'>x</a>", "a" * 500])
def test_plain_leaves_no_markup(text):
    safe = figures.plain(text)
    assert not re.search(r"[<>$\u202e]", safe.replace("&#36;", ""))
    assert len(safe) < 400


@pytest.mark.parametrize(
    ("value", "words"), [(0.7432, ".7432"), (-0.012, "-.0120"), (1.5, "1.5000"), (float("nan"), "—"), (10.25, "10.2500")]
)
def test_numbers_as_the_papers_print_them(value, words):
    assert figures.number(value) == words


# ---- figures -------------------------------------------------------------------------------------------------------------------


def test_sample_efficiency_draws_the_table():
    table = points()
    figure = figures.sample_efficiency(table, "auc", titles={"movielens-small": "MovieLens-small"})
    drawn = lines(figure)
    assert list(drawn) == ["DIN", "Laser, LLM only"]
    for system, name in (("din", "DIN"), ("laser-llm", "Laser, LLM only")):
        rows = table[table["system"] == system]
        assert list(drawn[name].x) == [64, 1024, 49070]
        assert list(drawn[name].y) == list(rows["auc"])
        band = next(trace for trace in figure.data if trace.fill == "toself" and trace.legendgroup == name)
        assert min(band.y) == pytest.approx(rows["auc_low"].min())
        assert max(band.y) == pytest.approx(rows["auc_high"].max())
    assert figure.layout.xaxis.type == "log"
    assert "all" in figure.layout.xaxis.ticktext[-1]
    assert "MovieLens-small · 3 seeds · 1,000 test rows" in axis_words(figure)
    assert "Histories may show earlier ratings" in axis_words(figure)


def test_zero_shot_is_a_level_and_no_point():
    """N = 0 has no place on a logarithmic axis: a dotted line in the system's colour, and no tick."""
    none = points().query("system == 'laser-llm'").head(1).assign(shots=0, train_rows=0, labels_seen=0, auc=0.61)
    for x in ("train_rows", "fit_seconds"):
        figure = figures.sample_efficiency(pd.concat([none, points()]), x=x)
        [level] = figure.layout.shapes
        assert level.y0 == level.y1 == 0.61 and level.line.dash == "dot" and level.line.color == figures.style("laser-llm").colour
        assert any("N = 0" in note.text for note in figure.layout.annotations)
        assert all(min(trace.x) > 0 and len(trace.x) == 3 for trace in lines(figure).values())
        assert 0 not in (figure.layout.xaxis.tickvals or ())


def test_a_wide_band_does_not_press_the_lines_together():
    """Every line and reference is in the picture with room around; the band that is cut off is said to be."""
    wide = points().assign(auc_low=lambda rows: rows["auc_low"].where(rows["shots"] != 64, 0.1))
    bottom, top = figures.sample_efficiency(wide, "auc", references={"far": 0.9}).layout.yaxis.range
    span = 0.9 - wide["auc"].min()
    assert (bottom, top) == pytest.approx((wide["auc"].min() - span / 3, 0.9 + span / 3))
    close = figures.sample_efficiency(wide, "auc", references={"far": 0.9}, margin=1 / 12).layout.yaxis.range
    assert close == pytest.approx((wide["auc"].min() - span / 12, 0.9 + span / 12))
    assert "cut off" in axis_words(figures.sample_efficiency(wide, "auc"))
    plain = figures.sample_efficiency(points().assign(auc_low=lambda rows: rows["auc"] - 0.001, auc_high=lambda rows: rows["auc"] + 0.001))
    assert plain.layout.yaxis.range is None and "cut off" not in axis_words(plain)


def test_match_points_stand_where_they_belong():
    figure = figures.sample_efficiency(points(), "auc", references={"DIN, N = all": 0.64}, matches={("din", ""): 1000.0})
    line = next(shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == 1000.0)
    assert line.line.color == figures.style("din").colour
    label = next(words for words in figure.layout.annotations if words.text == "1,000 labels")
    assert label.x == pytest.approx(3), "a log axis wants the power of ten"
    assert any(shape.y0 == shape.y1 == 0.64 for shape in figure.layout.shapes)


def test_multipliers_leave_out_what_was_not_measured():
    """A point beyond the N measured is not drawn; an interval that ends there runs off the picture, on whichever side it does."""
    table = pd.DataFrame(
        {
            "system": "din", "variant": "", "shots": [1024, 64, 256], "value": [np.inf, 2.0, 4.0], "low": [3.0, 1.0, 0.0],
            "high": [np.inf, 3.0, np.inf],
        }
    )  # fmt: skip
    figure = figures.multipliers(table, "SIM")
    line, (bottom, top) = lines(figure)["DIN"], 10 ** np.array(figure.layout.yaxis.range)
    assert list(line.x) == [64, 256] and list(line.y) == [2.0, 4.0]
    assert line.error_y.array[0] == 1 and line.error_y.arrayminus[0] == 1
    assert bottom < 1 and top > 4, "what was measured is inside"
    assert line.y[1] + line.error_y.array[1] > top and 0 < line.y[1] - line.error_y.arrayminus[1] < bottom
    assert "leaves the picture" in axis_words(figure)
    assert "leaves the picture" not in axis_words(figures.multipliers(table[table["shots"] == 64], "SIM"))


def test_each_level_of_the_paper_is_in_its_systems_colour():
    table = points().replace({"system": {"laser-llm": "laser-crm"}})
    figure = figures.sample_efficiency(table, "auc", paper={"din": 0.7, "laser-crm": 0.9})
    drawn = lines(figure)
    for system, value in (("din", 0.7), ("laser-crm", 0.9)):
        level = drawn[f"{SYSTEMS[system].paper_row}, the paper"]
        assert set(level.y) == {value} and (min(level.x), max(level.x)) == (64, 49070)
        assert level.line.color == figures.style(system).colour != figures.style("sim").colour
    wide = points().assign(auc_low=0.1)
    assert figures.sample_efficiency(wide, "auc", paper={"din": 0.95}).layout.yaxis.range[1] > 0.95, "a level is in the picture"


def test_on_how_many_samples_the_paper_fitted_is_beside_its_value():
    """PROTOCOL, section 5: LLM only on 65,536 of MovieLens-1M, LLM+CRM on half, both uncertain; the others on all."""
    table = points().replace({"system": {"laser-llm": "laser-crm"}}).assign(dataset="ml-1m")
    known, half = {"din": 0.7962, "laser-crm": 0.7996}, "half of the training samples (not certain)"
    drawn = lines(figures.sample_efficiency(table, paper=known))
    assert "fitted on all training samples" in drawn["DIN, the paper"].hovertemplate
    assert f"fitted on {half}" in drawn["Laser, LLM+CRM, the paper"].hovertemplate
    ring = lines(figures.comparison(table[table["shots"] == 64], paper=known))["the paper"]
    assert dict(zip(ring.x, ring.customdata, strict=True)) == {0.7962: "all training samples", 0.7996: half}
    assert paper.fitted_on("Laser, LLM only", "ml-1m") == "65,536 training samples (not certain)"


def test_numbers_of_samples_that_are_near_to_each_other_do_not_touch():
    table = points()
    more = pd.concat([table, table.query("shots == 1024").assign(shots=1500, train_rows=1500)])
    axis = figures.sample_efficiency(more).layout.xaxis
    assert dict(zip(axis.tickvals, axis.ticktext, strict=True)) == {64: "64", 1024: "1,024", 1500: "", 49070: "all"}


def test_results_of_different_settings_are_never_joined():
    more = points(variant="history=60")
    fewer = points(test_rows=200)
    older = points(revision=0, current=False)
    figure = figures.sample_efficiency(pd.concat([points(), more, fewer, older]), "auc")
    assert len(lines(figure)) == 8
    assert all(len(trace.x) == 3 for trace in lines(figure).values())
    assert "200 to 1,000 test rows" in axis_words(figure) or "200 for" in axis_words(figure)


def test_comparison_puts_the_best_on_top_and_the_paper_beside():
    rows = points()[points()["shots"] == "all"]
    figure = figures.comparison(rows, "auc", {"din": 0.7962})
    ours = [trace for trace in figure.data if trace.error_x.array]
    assert ours[-1].y[0] == "Laser, LLM only", "the last category is the top one"
    assert ours[0].error_x.array[0] == pytest.approx(0.01)
    ring = lines(figure)["the paper"]
    assert (ring.x, ring.y) == ((0.7962,), ("DIN",))
    worse_is_better = figures.comparison(rows.assign(log_loss=[0.5, 0.6]), "log_loss")
    assert [trace.y[0] for trace in worse_is_better.data] == ["Laser, LLM only", "DIN"]


LONG = "statistics=false, nearby=0.0, familiar=false"
ALIKE = ["", LONG, f'{LONG}, vectors="random"', f'{LONG}, vectors="none"', f'{LONG}, vectors="random", backbone_crm="deepfm"']
"""options whose labels begin alike"""


def test_systems_that_begin_alike_have_a_row_each():
    table = pd.concat(points(system="laser-crm", variant=variant, auc=0.6 + place / 100).tail(1) for place, variant in enumerate(ALIKE))
    by_gap = pd.DataFrame(
        {"system": "laser-crm", "variant": ALIKE, "gap": 0.1, "low": 0.0, "high": 0.2, "p_holm": 0.5, "seeds": 3, "test_rows": 9}
    )
    for figure in (figures.comparison(table), figures.gaps(by_gap, "auc", "DIN")):
        assert len({trace.y[0] for trace in figure.data}) == len(ALIKE)
        axis = figure.layout.yaxis
        assert set(axis.tickvals) == {trace.y[0] for trace in figure.data}
        assert len(set(axis.ticktext)) == len(ALIKE)
        assert max(len(line) for words in axis.ticktext for line in words.split("<br>")) <= 40


def test_a_legend_cuts_nothing_off():
    table = pd.concat(points(system="laser-crm", variant=variant) for variant in ALIKE)
    names = list(lines(figures.sample_efficiency(table)))
    assert len(set(names)) == len(ALIKE)
    assert not any("…" in name for name in names)
    longest = max(names, key=len).replace("<br>", " ")
    assert longest == "Laser, LLM+CRM (no statistics, no nearby, no familiar, vectors random, backbone crm deepfm)"


def test_a_long_legend_and_note_get_room_of_their_own():
    one = figures.sample_efficiency(points())
    many = figures.sample_efficiency(pd.concat(points(system="laser-crm", variant=variant) for variant in ALIKE))
    assert many.layout.height > one.layout.height
    words = axis_words(figures.comparison(points(test_rows=123456).tail(1), titles={"movielens-small": "A long title " * 4}))
    assert words.count("A long title") == 4, "in lines, whole"


@pytest.mark.parametrize("low, high", [(33, 900), (1.2e-5, 9.9e-5), (0.004, 80_000), (3.1, 3.3), (5, 5), (64, 800_000), (1e-7, 1e9)])
def test_every_tick_of_a_logarithmic_axis_says_its_value(low, high):
    table = points().assign(labels_seen=np.geomspace(low, high, len(points())))
    axis = figures.sample_efficiency(table, x="labels_seen").layout.xaxis
    assert 1 <= len(axis.tickvals) <= 6
    for value, words in zip(axis.tickvals, axis.ticktext, strict=True):
        assert float(words.replace(",", "")) == pytest.approx(value)
        assert low / 2 <= value <= high * 2
    if high / low > 10:
        assert len(axis.tickvals) >= 2


def test_candidates_shows_probability_and_truth():
    table = pd.DataFrame(
        {
            "candidate": ["A <b>", "A <b>", "B"], "label": [1, 1, 0], "system": ["din", "laser-llm", "din"],
            "name": ["DIN", "Laser, LLM only", "DIN"], "probability": [0.9, 0.7, 0.2],
        }
    )  # fmt: skip
    figure = figures.candidates(table)
    drawn = lines(figure)
    assert list(drawn["DIN"].x) == [0.9, 0.2]
    assert list(drawn["DIN"].y) == [0, 1]
    assert figure.layout.yaxis.ticktext[0].startswith("A &lt;b&gt;")
    fills = [shape.fillcolor for shape in figure.layout.shapes if shape.type == "rect"]
    assert len(set(fills)) == 2, "the ground tells liked from not liked"


def test_history_keeps_time_order():
    table = pd.DataFrame({"title": ["a", "b", "c"], "rating": [4.0, 2.0, 5.0], "label": [1, 0, 1], "time": pd.NaT})
    drawn = lines(figures.history(table))
    assert list(drawn["positive"].x) == [1, 3]
    assert list(drawn["negative"].y) == [2.0]


def gap_table() -> pd.DataFrame:
    return pd.DataFrame(
        {"system": ["din", "laser-llm"], "variant": "", "test_rows": 400, "seeds": 3, "gap": [-0.01, 0.04], "low": [-0.03, 0.01],
         "high": [0.01, 0.07], "p": [0.3, 0.01], "p_holm": [0.3, 0.02]}
    )  # fmt: skip


@pytest.mark.parametrize(("metric", "top"), [("auc", "Laser, LLM only"), ("log_loss", "DIN")])
def test_gaps_put_the_better_on_top(metric, top):
    figure = figures.gaps(gap_table(), metric, "DeepFM")
    assert figure.data[-1].y[0] == top
    assert figure.data[-1].error_x.array[0] == pytest.approx(0.02 if top == "DIN" else 0.03)


def test_verdicts_have_a_cell_each_with_mark_and_gap():
    made = [("a", 64, 0.02, 0.01, 0.03), ("a", "all", -0.02, -0.03, -0.01), ("b", 64, 0.0, -0.01, 0.01), ("a", 1024, 0.0, -0.01, 0.01)]
    rows = [
        contrast.Verdict(n, ("laser-llm", ""), 0.7, ("din", "epochs=2"), 0.7, 3, gap, low, high, 500, 3, (1, 1))
        for _, n, gap, low, high in made
    ]
    table = pd.DataFrame([{"dataset": name, **row.row()} for (name, *_), row in zip(made, rows, strict=True)])
    (grid,) = figures.verdicts(table, {"a": "Set A"}).data
    assert list(zip(grid.y, grid.x, grid.z, grid.text, strict=True)) == [
        ("Set A", "64", 1, "▲ +0.020"),
        ("Set A", "all", -1, "▼ -0.020"),
        ("b", "64", 0, "= +0.000"),
        ("Set A", "1,024", 0, "= +0.000"),
    ]
    assert list(figures.verdicts(table).layout.xaxis.categoryarray) == ["64", "1,024", "all"]
    assert "is ahead of" in grid.customdata[0] and "epochs 2" in grid.customdata[0] and "+0.0100 to +0.0300" in grid.customdata[0]


def test_within_users_puts_the_best_on_top_and_rings_the_auc():
    table = pd.DataFrame(
        {"system": ["din", "sim"], "variant": "", "gauc": [0.6, 0.55], "gauc_low": 0.5, "gauc_high": 0.7, "auc": [0.7, 0.75]}
    )
    rings, *dots = figures.within_users(table).data
    assert list(zip(rings.y, rings.x, strict=True)) == [("SIM", 0.75), ("DIN", 0.7)]
    assert [(dot.y[0], dot.x[0], dot.error_x.array[0]) for dot in dots] == [
        ("SIM", 0.55, pytest.approx(0.15)),
        ("DIN", 0.6, pytest.approx(0.1)),
    ]


def test_routing_draws_the_lot_beside_unsureness():
    table = pd.DataFrame({"share": [0, 0.5, 1], "auc": 0.7, "gap": [0, 0.02, 0.03], "lot": [0, 0.005, 0]})
    table = table.assign(low=table["gap"] - 0.01, high=table["gap"] + 0.01, lot_low=-0.01, lot_high=0.01)
    drawn = lines(figures.routing(table, ("din", ""), ("laser-llm", "")))
    assert list(drawn["where DIN is least sure"].y) == [0, 0.02, 0.03]
    assert list(drawn["as many by lot"].y) == pytest.approx([0, 0.015, 0.03])


def scored(seed: int = 0, rows: int = 3000) -> figures.Scored:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, rows)
    return "din", "DIN", labels, np.clip(0.3 * labels + 0.7 * generator.random(rows), 0, 1).round(2)


def test_roc_encloses_the_auc():
    from sklearn.metrics import roc_auc_score

    result = scored()
    curve = lines(figures.roc([result]))["DIN"]
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(roc_auc_score(result[2], result[3]), abs=1e-6)
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert len(lines(figures.roc([scored(rows=100_000)]))["DIN"].x) < 500


def test_calibration_counts_every_sample():
    curve = lines(figures.calibration([scored()]))["DIN"]
    assert sum(int(words.replace(",", "")) for words in curve.customdata) == 3000


def test_score_distribution_counts_every_sample():
    result = scored()
    drawn = lines(figures.score_distribution(result))
    assert sum(drawn["positives"].y) == result[2].sum()
    assert -sum(drawn["negatives"].y) == (1 - result[2]).sum()


def test_pareto_joins_only_what_nothing_beats():
    table = pd.DataFrame(
        {"system": ["din", "deepfm", "sim", "laser-llm"], "variant": "", "auc": [0.7, 0.65, 0.72, 0.71], "seconds": [1.0, 2.0, 5.0, 9.0]}
    )
    front = lines(figures.pareto(table, "auc", "seconds", "seconds"))["no system is better and cheaper"]
    assert list(front.x) == [1.0, 5.0]


def test_pareto_joins_only_what_one_machine_measured():
    table = points().drop_duplicates("system").assign(predict_seconds=[1.0, 2.0])
    table = pd.concat([table, table.assign(variant="x=1", auc=0.9, predict_seconds=0.5).head(1)], ignore_index=True)
    table["machine"] = ["A", "A", "B"]
    figure = figures.pareto(table, "auc", "predict_seconds", "seconds")
    line, *marks = figure.data
    assert list(line.x) == [1.0, 2.0], "the best and cheapest, B's, is not on it"
    assert {(mark.x[0], mark.marker.opacity) for mark in marks} == {(1.0, 1), (2.0, 1), (0.5, 0.4)}
    assert "the line is of A; pale: another machine" in axis_words(figure)
    alike = figures.pareto(table.drop(columns="machine"), "auc", "predict_seconds", "seconds")
    assert len(alike.data) == 3, "nothing to join: one is better and cheaper than all"


def test_pareto_draws_the_intervals_of_the_table():
    table = points().drop_duplicates("system")
    figure = figures.pareto(table, "auc", "fit_seconds", "seconds", intervals=True)
    for trace, row in zip(figure.data[-2:], table.itertuples(), strict=True):
        ends = trace.y[0] - trace.error_y.arrayminus[0], trace.y[0] + trace.error_y.array[0]
        assert np.allclose(ends, (row.auc_low, row.auc_high))
    without = figures.pareto(table, "auc", "fit_seconds", "seconds")
    assert all(trace.error_y.array is None for trace in without.data)


def test_pareto_of_many_systems_names_those_on_the_line():
    names = [f"system-{number}" for number in range(13)]
    table = pd.DataFrame({"system": names, "variant": "", "auc": [0.7, 0.8, *[0.6] * 11], "seconds": np.arange(1.0, 14.0)})
    named = {trace.name for trace in figures.pareto(table, "auc", "seconds", "seconds").data if trace.showlegend is not False}
    assert named == {"no system is better and cheaper", "system-0", "system-1"}
    few = figures.pareto(table[:12], "auc", "seconds", "seconds")
    assert {*names[:12]} <= {trace.name for trace in few.data if trace.showlegend is not False}


def test_slices_keep_their_order():
    table = pd.DataFrame(
        {
            "system": "din",
            "variant": "",
            "test_rows": 9,
            "slice": ["9 to 20", "0 to under 9"],
            "place": [1, 0],
            "samples": [5, 4],
            "auc": [0.7, 0.6],
        }
    )
    figure = figures.slices(table, "auc", "earlier ratings")
    assert list(figure.data[0].x) == ["0 to under 9", "9 to 20"]


def test_enlarging_leaves_the_original_alone():
    small = figures.sample_efficiency(points(), "auc")
    large, note = figures.enlarge(small, 2)
    assert "N counts labelled samples" in note and "span" not in note
    assert "N counts labelled samples" not in large.layout.xaxis.title.text and "labelled samples" in large.layout.xaxis.title.text
    assert lines(large)["DIN"].marker.size == 2 * lines(small)["DIN"].marker.size == 18
    assert small.layout.font.size == 14


def test_a_note_is_taken_apart_and_nothing_of_it_lost():
    """The scale stays in the picture, how it was measured is handed to the page; the figure itself keeps both."""
    whole = figures.sample_efficiency(points(), titles={"movielens-small": "A & B"})
    brief, rest = figures.apart(whole)
    assert axis_words(brief) + " " + rest == axis_words(whole).replace("  ", " ")
    assert axis_words(brief).endswith("test users") and rest == figures.SHOTS_NOTE
    assert "A &amp; B" in axis_words(brief), "in the picture it is text"
    assert figures.apart(brief)[1] == "" and brief.layout.height < whole.layout.height
    bare, note = figures.apart(whole, 0)
    assert axis_words(bare).startswith("N: labelled samples") and note.startswith("A & B · 3 seeds")
    assert figures.apart(figures.pareto(points(), "auc", "fit_seconds", "seconds"))[1] == "", "without a note there is none"


def test_a_text_map_shows_every_text_once_and_other_behind():
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0], "title": ["<b>A", "B", "C"], "group": ["Drama", "other", "Comedy"]})
    figure = figures.text_map(table, "a note")
    assert [trace.name for trace in figure.data] == ["other", "Comedy", "Drama"]
    assert sorted(words for trace in figure.data for words in trace.text) == ["&lt;b&gt;A", "B", "C"]
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == 3
    assert "a note" in figure.layout.xaxis.title.text
