"""Every notebook runs, open and solved; its checks can tell right from wrong; what is committed is of today's sources."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.metrics import roc_auc_score

from laser_core.settings import get_settings
from laser_core.study import contrast

FOLDER = Path(__file__).resolve().parent.parent.parent / "notebooks"


def module(name: str):
    """A file of the notebooks' folder, imported."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


sys.path.insert(0, str(FOLDER))  # as in a notebook: the helpers import one another by name
pictures, build, checks, lesson = map(module, ("pictures", "build", "checks", "lesson"))
SOURCES = build.sources()


@pytest.fixture(scope="module")
def executed(small, tmp_path_factory):
    """Runs a notebook once, in seconds instead of minutes, with a store that all of them share."""
    notebooks = {}

    def execute(source: Path, solved: bool):
        if (source, solved) not in notebooks:
            notebooks[source, solved] = build.execute(build.convert(source, solved), seconds=300)
        return notebooks[source, solved]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LASER_PROFILE", "smoke")
        patch.setenv("LASER_STORE", str(tmp_path_factory.mktemp("notebooks") / "runs"))
        yield execute


def printed(notebook) -> str:
    """All text that the cells gave out."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_there_are_notebooks():
    assert "00_welcome" in [source.stem for source in SOURCES]


@pytest.mark.parametrize("solved", [False, True], ids=["open", "solved"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_runs_from_top_to_bottom(source, solved, executed):
    notebook = executed(source, solved)
    verdicts = re.findall(r"Exercise \d+: (right|not yet|not begun)", printed(notebook))
    assert len(verdicts) == source.read_text(encoding="utf-8").count("# BEGIN SOLUTION")
    assert set(verdicts) == {"right" if solved else "not begun"}
    assert "SOLUTION" not in "".join(cell.source for cell in notebook.cells)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_is_short_and_has_exercises(source):
    notebook = build.convert(source, solved=True)
    code = [line for cell in notebook.cells if cell.cell_type == "code" for line in cell.source.splitlines() if line.strip()]
    assert len(notebook.cells) <= 30
    assert len(code) <= 150
    assert 3 <= source.read_text(encoding="utf-8").count("# BEGIN SOLUTION") <= 5


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_every_figure_says_which_profile_it_is_of(source, executed):
    for data in pictures.figures(executed(source, solved=True)):
        assert "profile: " in json.dumps(data[pictures.FIGURE]), "lesson.show(figure) prints it"


def test_welcome_shows_the_quality_it_speaks_of(executed):
    notebook = executed(FOLDER / "00_welcome.py", solved=True)
    auc = float(re.search(r"'auc': (0\.\d+)", printed(notebook))[1])
    assert 0.73 < auc < 0.79  # History-LR with 256 shots


BANDS = [  # notebook, what is printed, lowest, highest: from seeds 0 to 4 in the smoke and the demo profile, with room
    ("01_data", r"promises (0\.\d+) AUC more than it keeps", 0.10, 0.40),
    ("01_data", r"out of fold it promises (-?0\.\d+) more", -0.06, 0.06),
    ("01_data", r"ratings of the future are worth \+(0\.\d+) \[", 0.008, 0.020),
    ("01_data", r"all ratings there: \+(0\.\d+) \[", 0.020, 0.040),
    ("01_data", r"without an item mean: test AUC (0\.\d+)", 0.73, 0.75),
    ("01_data", r"leaky item mean: (0\.\d+), -", 0.66, 0.735),
    ("02_metrics", r"no model, N = 0, MovieLens-small: AUC (0\.\d+)", 0.72, 0.76),
    ("02_metrics", r"history-lr +(0\.\d+)", 0.73, 0.78),
    ("02_metrics", r"1,000 test rows two systems .* lie (0\.\d+) apart", 0.030, 0.055),
    ("02_metrics", r"samples were independent, (0\.\d+) over users", 0.007, 0.014),
    ("03_feature_interactions", r"'none': (0\.\d+)", 0.45, 0.55),
    ("03_feature_interactions", r"'FM': (0\.\d+)", 0.75, 0.90),
    ("03_feature_interactions", r"'cross': (0\.\d+)", 0.75, 0.90),
    ("04_sequences", r"(0\.\d+)  mask in training and test", 0.55, 0.72),
    ("04_sequences", r"(0\.\d+)  no mask at all", 0.74, 1.0),
    ("14_your_own_data", r"knows the truth +(0\.\d+)", 0.75, 0.86),
    ("14_your_own_data", r"history-lr +(0\.\d+)", 0.72, 0.84),
    ("14_your_own_data", r"popularity +(0\.\d+)", 0.40, 0.60),
    ("15_which_labels", r"at random: AUC (0\.\d+) at least", 0.69, 0.78),
]


@pytest.mark.parametrize(("name", "pattern", "low", "high"), BANDS, ids=lambda value: str(value)[:24])
def test_printed_metrics_lie_within_bands(name, pattern, low, high, executed):
    found = re.search(pattern, printed(executed(FOLDER / f"{name}.py", solved=True)))
    assert found, pattern
    assert low < float(found[1]) < high


EXACT = [  # notebook, what is printed
    ("01_data", "steps back in time from one split to an earlier one: 0"),
    ("03_feature_interactions", "2 layers: a polynomial of degree 3"),
    ("04_sequences", "event 3 changed; states that moved: [3, 4, 5]"),
    ("04_sequences", "the same events as by sorting: True"),
    ("12_inference_time", "largest difference between the two: 0.0e+00"),
]


@pytest.mark.parametrize(("name", "words"), EXACT, ids=lambda value: value[:24])
def test_what_must_come_out_comes_out(name, words, executed):
    assert words in printed(executed(FOLDER / f"{name}.py", solved=True))


def test_inference_time_shows_the_recorded_ratio(executed):
    checks = json.loads((FOLDER.parent / "results" / "bench" / "serving.json").read_text(encoding="utf-8"))["parts"]["crm"]["checks"]
    text = printed(executed(FOLDER / "12_inference_time.py", solved=True))
    assert checks
    assert all(f"{check['what']}: {check['median']:.2f} (" in text for check in checks)


def test_own_data_leaves_nothing_in_the_home_folder(executed):
    executed(FOLDER / "14_your_own_data.py", solved=True)
    assert not list((get_settings().home / "datasets").glob("course-*"))


@pytest.mark.parametrize("other", [("sim", "statistics=false"), ("history-lr", "")])
def test_gaps_from_draws_are_those_from_rows(other, monkeypatch):
    monkeypatch.delenv("LASER_RECORDED", raising=False)
    done = lesson.cells().query("dataset == 'movielens-small' and train_rows == 1024")
    one, second = (done[(done["system"] == system) & (done["variant"] == variant)] for system, variant in (("sim", ""), other))
    found = lesson.gap(one, second)
    rows = contrast.gaps(lesson.recorded().predictions, pd.concat([one, second]), other).iloc[0]
    assert found["seeds"] == rows["seeds"] == 5
    assert found["gap"] == pytest.approx(rows["gap"], abs=1e-6)
    assert found["high"] - found["low"] == pytest.approx(rows["high"] - rows["low"], rel=0.1)
    assert lesson.gap(one, second[second["seed"] > 99]) == {}


def made_cells(*rows) -> pd.DataFrame:
    """Cells of (system, N, labels seen, test rows, AUC of seed 0, of seed 1)."""
    made = [
        ("d", system, "", n, seen, size, seed, value, f"{system}-{n}-{size}-{seed}")
        for system, n, seen, size, *values in rows
        for seed, value in enumerate(values)
    ]
    columns = ["dataset", "system", "variant", "train_rows", "labels_seen", "test_rows", "seed", "auc", "key"]
    return pd.DataFrame(made, columns=columns)


def test_a_subset_scored_on_two_sets_of_test_rows_is_one_subset(monkeypatch):
    monkeypatch.setattr(lesson, "draws", lambda key: np.zeros(10))
    cells = made_cells(
        ("one", 64, 64, 100, 0.6, 0.7), ("one", 64, 64, 20, 0.1, 0.1), ("two", 64, 64, 100, 0.5, 0.5), ("two", 64, 64, 20, 0.9, 0.9)
    )
    one, two = (cells[cells["system"] == name] for name in ("one", "two"))
    found = lesson.gap(one, two)
    assert (found["seeds"], found["gap"]) == (2, pytest.approx(0.15))


def test_who_was_picked_as_the_best_of_many_gets_a_wider_interval(monkeypatch):
    """Bonferroni by Student's t: the low end for the four that one was the best of, the high end for the ten of the other."""
    monkeypatch.setattr(lesson, "draws", lambda key: np.zeros(10))
    cells = made_cells(("one", 64, 64, 100, 0.61, 0.72, 0.65), ("two", 64, 64, 100, 0.5, 0.6, 0.55))
    one, two = (cells[cells["system"] == name] for name in ("one", "two"))
    found, values = lesson.gap(one, two, among=(4, 10)), np.array([0.11, 0.12, 0.10])
    error = values.std(ddof=1) / 3**0.5
    assert found["low"] == pytest.approx(values.mean() - error * t.ppf(1 - 0.05 / 2 / 4, 2))
    assert found["high"] == pytest.approx(values.mean() + error * t.ppf(1 - 0.05 / 2 / 10, 2))
    assert lesson.gap(one, two) == lesson.gap(one, two, among=(1, 1)) and found["low"] < lesson.gap(one, two)["low"]


def test_a_reference_with_as_many_labels_lies_between_its_two_n(monkeypatch):
    """With 4 N labels between N and 16 N it is half the way over log N, subset by subset; what is on other test rows has no part in it."""
    cells = made_cells(
        ("llm", 16, 256, 100, 0.75, 0.76),
        ("llm", 64, 4096, 100, 0.80, 0.80),
        ("llm", 4, 8, 100, 0.5, 0.5),
        ("history-lr", 64, 64, 100, 0.70, 0.72),
        ("history-lr", 1024, 1024, 100, 0.78, 0.76),
        ("history-lr", 256, 256, 20, 0.1, 0.1),
        ("history-lr", 4096, 4096, 20, 0.1, 0.1),
    )
    moves = dict(zip(cells["key"], np.random.default_rng(0).normal(size=(len(cells), 400)) * 0.01, strict=True))
    monkeypatch.setattr(lesson, "cells", lambda: cells)
    monkeypatch.setattr(lesson, "draws", moves.get)
    table = lesson.at_equal_labels("d", "llm").set_index("N")
    assert table["the reference's labels"].to_dict() == {16: 256, 64: 1024}, "4,096: its largest N stands for it; 8: no N as small"
    assert table.loc[16, "gap"] == pytest.approx(np.mean([0.75 - 0.74, 0.76 - 0.74]))
    assert table.loc[64, "gap"] == pytest.approx(np.mean([0.80 - 0.78, 0.80 - 0.76]))
    errors = [
        np.std(moves[f"llm-16-100-{seed}"] - moves[f"history-lr-64-100-{seed}"] / 2 - moves[f"history-lr-1024-100-{seed}"] / 2)
        for seed in (0, 1)
    ]
    assert table.loc[16, "high"] == pytest.approx(lesson.mean_gap(np.array([0.01, 0.02]), np.array(errors))["high"])


def test_a_page_knows_your_own_runs_too(monkeypatch, tmp_path):
    """Where it says not run, it names a command whose results go into LASER_STORE."""
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "mine"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "recorded"))
    assert lesson.recorded().folders == [tmp_path / "mine", tmp_path / "recorded"]


@pytest.mark.parametrize("name", ["03_feature_interactions", "04_sequences"])
def test_brute_force_and_the_kit_agree(name, executed):
    found = re.findall(r"(?:brute force|the kit's(?: layer)?): (\d\.\de[+-]\d+)", printed(executed(FOLDER / f"{name}.py", solved=True)))
    assert found
    assert max(map(float, found)) < 1e-4


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_committed_notebooks_are_executed_and_of_todays_source(source):
    assert build.is_current(source), "make notebooks"
    for path in build.targets(source).values():
        assert path.stat().st_size < 600_000
        notebook = nbformat.read(path, as_version=4)
        assert all(pictures.PICTURE in data for data in pictures.figures(notebook)), "a page without JavaScript would show nothing"
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert not [output for cell in code for output in cell.outputs if output.output_type == "error" or output.get("name") == "stderr"]


def test_the_index_names_every_notebook_with_goal_data_machine_and_minutes():
    assert (FOLDER / "README.md").read_text(encoding="utf-8") == build.index(), "python notebooks/build.py --index"
    for source in SOURCES:
        assert all(build.about(source).values()), f"the first cell of {source.name} lacks {build.about(source)}"


def test_an_older_notebook_is_noticed(tmp_path, monkeypatch):
    source = tmp_path / "00_old.py"
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    source.write_text("# %%\n1 + 1\n")
    for solved, path in build.targets(source).items():
        path.parent.mkdir(exist_ok=True)
        nbformat.write(build.convert(source, solved), path)
    assert build.is_current(source)
    source.write_text("# %%\n1 + 2\n")
    assert not build.is_current(source)


def test_a_failing_cell_is_an_error(tmp_path):
    source = tmp_path / "00_broken.py"
    source.write_text("# %%\nraise SystemError('no')\n")
    with pytest.raises(build.CellExecutionError, match="no"):
        build.execute(build.convert(source, solved=True), seconds=60)


# ---- the checks themselves -------------------------------------------------------------------------------------------------


def test_history_check(small, capsys):
    row = int(small.test[100])
    titles = [small.title(small.event_item[event]) for event in small.history_events(row)]
    checks.history_sees_no_future(titles, small, row)
    checks.history_sees_no_future(titles[1:], small, row)
    checks.history_sees_no_future([*titles[1:], small.title(small.sample_item([row])[0])], small, row)
    checks.history_sees_no_future(..., small, row)
    assert re.findall(r"1: ([a-z ]+)\.", capsys.readouterr().out) == ["right", "not yet", "not yet", "not begun"]


def test_auc_check(capsys):
    def ties_forgotten(labels, scores):
        return (scores[labels == 1][:, None] > scores[labels == 0]).mean()

    checks.auc_by_hand(ties_forgotten)
    checks.auc_by_hand(lambda labels, scores: None)
    assert re.findall(r"2: ([a-z ]+)\.", capsys.readouterr().out) == ["not yet", "not begun"]


@pytest.mark.parametrize(("answer", "verdict"), [(256, "right"), (1024, "not yet"), (None, "not yet"), (..., "not begun")])
def test_match_point_check(answer, verdict, capsys):
    checks.labels_needed(answer, {1024: np.float64(0.8), 64: 0.6, 256: 0.75}, 0.75)
    assert f"3: {verdict}." in capsys.readouterr().out


def test_match_point_that_does_not_exist(capsys):
    checks.labels_needed(None, {64: 0.6}, 0.75)
    assert "3: right." in capsys.readouterr().out


def verdict(capsys) -> list[str]:
    return re.findall(r"Exercise \d: ([a-z ]+)\.", capsys.readouterr().out)


def uncapped_holm(p_values):
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(np.sort(p_values) * np.arange(len(p_values), 0, -1))
    return corrected


def least_sure(p):
    return np.argsort(np.abs(p - 0.5), kind="stable")


def one_at_a_time(batch, alone, many):
    """Exercise 12.3 as if the first batch were always 1."""
    call = (alone - many) / (1 - 1 / batch)
    return call, alone - call


def with_numpy(function, places, size):
    """Exercise 04.3, right, in NumPy."""
    tokens = np.random.default_rng(0).normal(size=(places, size))
    for place in range(1, places):
        changed = tokens.copy()
        changed[place] += 1
        if not np.array_equal(function(changed)[:place], function(tokens)[:place]):
            return True
    return False


def looks_at_the_last_token_only(function, places, size):
    import torch

    tokens = torch.randn(places, size)
    changed = tokens.clone()
    changed[-1] += 1
    return not torch.equal(function(tokens)[:-1], function(changed)[:-1])


BOOKS = re.search(r'books = """(.+?)"""', (FOLDER / "14_your_own_data.py").read_text(encoding="utf-8"), re.DOTALL)[1]  # the solution
WRONG = [  # a check, a plausible wrong answer (or function), whatever else the check takes
    ("leave_one_out", lambda items, labels: np.bincount(items, labels)[items] / np.bincount(items)[items]),
    ("nested_shots", lambda rows, n, seed: np.random.default_rng([seed, n]).choice(rows, n, replace=False)),
    ("nested_shots", lambda rows, n, seed: rows[:n]),
    ("nested_shots", lambda rows, n, seed: rows[seed : seed + n]),
    ("nested_shots", lambda rows, n, seed: rows[(seed + 37 * np.arange(n)) % len(rows)]),
    ("nested_shots", lambda rows, n, seed: rows[seed % 7 + np.arange(n)]),
    ("log_loss_by_hand", lambda labels, said: -np.mean(np.log(np.clip(said, 1e-15, 1)))),
    ("holm_by_hand", lambda p_values: np.minimum(p_values * len(p_values), 1)),
    ("holm_by_hand", uncapped_holm),
    ("all_pairs", lambda vectors: vectors.sum(1).square().sum(1) / 2),
    ("cross_layer", lambda x0, x, weight, bias: x0 * (x @ weight + bias) + x),
    ("attend", lambda query, key, value: (query @ key.transpose(1, 2)).softmax(1) @ value),
    ("times_as_many", 6040 * 3706 / (6040 + 3706)),
    ("strictly_earlier", lambda places: np.tril(np.ones((places, places), dtype=bool))),
    ("last_state", lambda states, length: states[:, -1]),
    ("looks_ahead", lambda function, places, size: False),
    ("looks_ahead", lambda function, places, size: True),
    ("looks_ahead", looks_at_the_last_token_only),
    ("improvement", {"SIM": 0.0041}),
    ("study_text", 'title = "t"\n[[grid]]\ndatasets = ["movielens-small"]\nsystems = ["sim"]\nshots = [1024]\nseeds = [0]\n'),
    ("pooled", np.maximum.accumulate),
    ("mean_over_log", lambda shots, auc: np.mean(auc)),
    ("labels_seen", lambda prompts: sum(map(len, prompts))),
    ("ratio", 277 / 245),
    ("pays_after", lambda text, crm, llm: round(text / llm)),
    ("split_cost", lambda batches, seconds: (seconds[0], seconds[1])),
    ("split_cost", lambda batches, seconds: one_at_a_time(batches[1], *seconds)),
    ("ask_within", lambda p, cheap, llm, budget: least_sure(p)[: max(0, round((budget - cheap * len(p)) / llm + 0.1))]),
    ("ask_within", lambda p, cheap, llm, budget: least_sure(p)[: int(budget / llm)]),
    ("ask_within", lambda p, cheap, llm, budget: least_sure(p)[: int((budget - cheap * len(p)) // llm)]),
    ("ask_within", lambda p, cheap, llm, budget: least_sure(p)[::-1][: max(0, int((budget - cheap * len(p)) // llm))]),
    ("books", 'name = "course-books"\nlabel = "rating >= 8"\nsplit = "random"\n'),
    ("books", BOOKS.replace("random", "last-of-each-user")),
    ("most_even_cut", lambda values: np.median(values)),
]


@pytest.mark.parametrize(("name", "answer"), WRONG, ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "")
def test_a_plausible_wrong_answer_is_not_right(name, answer, capsys):
    getattr(checks, name)(answer)
    assert verdict(capsys) == ["not yet"]


def each_user_once(labels, scores, users, draws, seed):
    """The bootstrap with the error that the hint names: a user drawn twice counts once."""
    generator, own = np.random.default_rng(seed), np.unique(users)
    found = []
    for _ in range(draws):
        rows = np.isin(users, generator.choice(own, len(own)))
        found.append(roc_auc_score(labels[rows], scores[rows]))
    return np.array(found)


def test_a_right_answer_in_numpy_is_right(capsys):
    checks.looks_ahead(with_numpy)
    assert verdict(capsys) == ["right"]


def test_checks_on_a_data_set_refuse_wrong_answers(small, capsys):
    place = np.zeros(small.events, dtype=int)
    row = int(small.test[100])
    probabilities = np.linspace(0.1, 0.9, len(small.test))
    labels, users = small.labels(small.test), small.sample_user(small.test)
    checks.steps_back(7, small, place)
    checks.share_of_ten(0.5, small)
    checks.newcomers(0.5, small)
    checks.same_genre([1, 2], small, row, 5)
    checks.spoiled(probabilities[::-1], labels, probabilities)
    checks.redraw_users(lambda labels, scores, users, draws, seed: np.full(draws, 0.5), labels, probabilities, users)
    checks.redraw_users(each_user_once, labels, probabilities, users)
    checks.agreement(0.123, pd.DataFrame({"one": [1.0, 2.0, 3.0], "other": [1.0, 2.0, 4.0]}))
    checks.least_difference((0.1, 1.0), probabilities, labels.astype(float))
    curve = checks.Curve(np.array([64, 256]), np.array([0.6, 0.7]), np.zeros((2, 1)))
    checks.needed(64.0, curve, curve)
    assert verdict(capsys) == ["not yet"] * 10
