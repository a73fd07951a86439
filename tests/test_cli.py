"""The command line as a person and a script meet it: output, JSON, one line an error, exit codes, Ctrl-C."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from typer.main import get_command
from typer.testing import CliRunner

from laser_core import __version__, cli, datasets
from laser_core.cli import launch
from laser_core.errors import FaultError
from laser_core.systems import SYSTEMS

PROJECT = Path(__file__).resolve().parent.parent


def laser(*words: object):
    """Run a command in this process."""
    return CliRunner().invoke(cli.app, [str(word) for word in words], prog_name="laser")


def refused(*words: object, code: int = 2) -> str:
    """The one line that a command that must fail prints."""
    result = laser(*words)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert "Traceback" not in result.stderr
    return line


def commands(group=None, path: tuple[str, ...] = ()):
    """Every command with its path of words."""
    for name, command in (group or get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.fixture
def store(tmp_path, monkeypatch) -> Path:
    """A result store of this test alone, with no recorded results beside it."""
    monkeypatch.setenv("LASER_STORE", str(tmp_path / "runs"))
    monkeypatch.setenv("LASER_RECORDED", str(tmp_path / "none"))
    return tmp_path / "runs"


@pytest.fixture
def empty_home(tmp_path, monkeypatch) -> Path:
    """A home without data and weights."""
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small) -> Path:
    """A fitted History-LR, by the command line."""
    folder = tmp_path_factory.mktemp("trained") / "history"
    result = laser("train", "history-lr", "movielens-small", "--shots", "64", "--seed", "1", "--out", folder)
    assert result.exit_code == 0, result.output
    return folder


# ---- help ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_every_command_has_help_with_an_example_that_is_valid(words):
    result = laser(*words, "--help")
    assert result.exit_code == 0
    command = dict(commands())[words]
    example = command.epilog.partition("`")[2].rpartition("`")[0].split()
    assert example[: len(words) + 1] == ["laser", *words]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in example if word.startswith("-")} <= options


def test_help_is_quick_because_nothing_heavy_is_imported():
    code = "import sys; from laser_core.cli import main; sys.argv = ['laser', '--help']\ntry: main()\nexcept SystemExit: pass\n"
    code += "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()
    assert "typer" in loaded
    assert not {"numpy", "pandas", "torch", "transformers", "streamlit"} & set(loaded)


def test_without_a_command_it_shows_help():
    assert "Commands" in laser().output


def test_version():
    assert laser("--version").stdout.strip() == __version__


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell):
    script = subprocess.run(
        [sys.executable, "-m", "laser_core", "--show-completion", shell],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},  # the shell that is named, not the one the tests run in
    ).stdout
    assert "_LASER_COMPLETE" in script and f"complete_{shell}" in script


def test_completion_offers_names():
    environment = {**os.environ, "_LASER_COMPLETE": "complete_bash", "COMP_WORDS": "laser train his", "COMP_CWORD": "2"}
    offered = subprocess.run([sys.executable, "-m", "laser_core"], capture_output=True, text=True, env=environment, check=False).stdout
    assert offered.split() == ["history-lr"]


# ---- what there is ---------------------------------------------------------------------------------------------------------


def test_systems():
    rows = json.loads(laser("systems", "--json").stdout)
    assert [row["name"] for row in rows] == list(SYSTEMS)
    assert all(row["runs_here"] == (not row["missing"]) for row in rows)
    text = laser("systems").stdout
    assert all(name in text for name in SYSTEMS)


def test_systems_tells_the_options_of_one():
    rows = {row["name"]: row for row in json.loads(laser("systems", "sim", "--json").stdout)}
    assert rows["statistics"]["usual"] == "True" and "enriched input" in rows["statistics"]["words"]
    text = laser("systems", "sim").stdout
    assert all(name in text for name in rows)
    wrong = laser("systems", "simm")
    assert wrong.exit_code == 2 and "did you mean 'sim'" in wrong.stderr


def test_systems_says_what_a_language_model_lacks(empty_home):
    rows = {row["name"]: row for row in json.loads(laser("systems", "--json").stdout)}
    assert not rows["laser-llm"]["runs_here"]
    assert "doctor --fetch" in rows["laser-llm"]["missing"][0]
    assert rows["history-lr"]["runs_here"]


def test_data_list(small):
    rows = {row["name"]: row for row in json.loads(laser("data", "list", "--json").stdout)}
    assert set(datasets.NAMES) <= set(rows)
    assert rows["movielens-small"]["here"]
    assert not rows["ml-1m"]["redistributable"]
    assert "movielens-small" in laser("data", "list").stdout


def test_bundled_data_is_here_before_its_first_use(empty_home):
    rows = {row["name"]: row["here"] for row in json.loads(laser("data", "list", "--json").stdout)}
    assert rows["movielens-small"]
    assert not rows["ml-1m"]


def test_data_get_and_card(small):
    assert laser("data", "get", "movielens-small").stdout.startswith("movielens-small: 671 users, 9,066 items, 100,004 ratings")
    card = json.loads(laser("data", "card", "movielens-small", "--json").stdout)
    assert (card["users"], card["ratings"]) == (671, 100_004)
    text = laser("data", "card", "movielens-small").stdout
    assert "ratings: 100,004" in text
    assert all(trap in text for trap in card["traps"])


def test_own_ratings_by_a_mapping_file(tmp_path):
    rows = [f"u{user},i{item},{1 + (3 * user + 7 * item) % 5},{60 * user + item}" for user in range(30) for item in range(20)]
    (tmp_path / "stars.csv").write_text("\n".join(["who,what,stars,when", *rows]))
    mapping = tmp_path / "mine.toml"
    mapping.write_text(
        'name = "cli-own"\nitem_noun = "thing"\nlabel = "rating >= 4"\nsplit = "random"\n'
        '[ratings]\nfile = "stars.csv"\nuser = "who"\nitem = "what"\nrating = "stars"\ntime = "when"\n'
    )
    assert laser("data", "get", mapping).stdout.startswith("cli-own: 30 users, 20 items, 600 ratings")
    out = tmp_path / "model"
    assert laser("train", "history-lr", mapping, "--shots", 32, "--out", out).exit_code == 0
    assert laser("score", out, "cli-own", "--out", tmp_path / "scores.csv").exit_code == 0
    (tmp_path / "stars.csv").write_text("who,what,when\nu1,i1,1\n")
    assert "stars" in refused("data", "get", mapping)


# ---- train and score -------------------------------------------------------------------------------------------------------


def test_train_then_score_gives_predictions_whose_metrics_are_true(trained, small, tmp_path):
    out = tmp_path / "predictions.csv"
    result = laser("score", trained, "movielens-small", "--split", "test", "--out", out, "--json")
    table = pd.read_csv(out, dtype={"user": str, "item": str})
    assert table["row"].tolist() == small.test.tolist()
    assert table["label"].tolist() == small.labels(small.test).tolist()
    assert table["item"].tolist() == [small.field("movie").text(item) for item in small.sample_item(small.test)]
    metrics = json.loads(result.stdout)
    assert metrics["rows"] == len(small.test)
    assert metrics["auc"] == pytest.approx(roc_auc_score(table["label"], table["probability"]), abs=1e-9)
    assert metrics["log_loss"] == pytest.approx(log_loss(table["label"], table["probability"]), abs=1e-9)


def test_trained_folder_says_how_it_was_made(trained):
    about = json.loads((trained / "trained.json").read_text())
    assert (about["system"], about["dataset"], about["shots"], about["seed"]) == ("history-lr", "movielens-small", 64, 1)
    assert about["labels_seen"] >= 64


def test_same_seed_same_predictions(trained, tmp_path):
    again = tmp_path / "again"
    laser("train", "history-lr", "movielens-small", "--shots", "64", "--seed", "1", "--out", again)
    for folder, name in ((trained, "a.csv"), (again, "b.csv")):
        laser("score", folder, "movielens-small", "--rows", "50", "--out", tmp_path / name)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_score_of_a_part_of_each_split(trained, small, tmp_path):
    for split in ("train", "valid", "test"):
        assert laser("score", trained, "movielens-small", "--split", split, "--rows", "40", "--out", tmp_path / "rows.csv").exit_code == 0
        rows = pd.read_csv(tmp_path / "rows.csv")["row"]
        assert len(rows) == 40
        assert rows.isin(getattr(small, split)).all()


def test_score_without_a_file_tells_the_metrics(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = json.loads(laser("score", trained, "movielens-small", "--rows", "40", "--json").stdout)
    written = json.loads(laser("score", trained, "movielens-small", "--rows", "40", "--json", "--out", "rows.csv").stdout)
    assert told == written
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]


def test_a_part_is_drawn_by_lot(trained, small, tmp_path):
    laser("score", trained, "movielens-small", "--split", "train", "--rows", "40", "--out", tmp_path / "rows.csv")
    assert pd.read_csv(tmp_path / "rows.csv")["row"].tolist() == small.part("train", 40).tolist() != small.train[:40].tolist()


def test_one_class_has_no_auc_but_all_else(trained, small, tmp_path):
    result = laser("score", trained, "movielens-small", "--rows", "1", "--out", tmp_path / "rows.csv")
    table = pd.read_csv(tmp_path / "rows.csv")
    assert result.exit_code == 0
    assert f"no AUC: all 1 samples have label {table['label'][0]}" in result.stderr
    loss = log_loss(table["label"], table["probability"], labels=[0, 1])
    assert re.fullmatch(rf"rows 1, log_loss {loss:.4f}, accuracy .*, ece [\d.]*: .*rows\.csv\n", result.stdout)


@pytest.mark.parametrize("said", [float("nan"), 1.5])
def test_what_is_no_probability_replaces_nothing(trained, tmp_path, monkeypatch, said):
    out = tmp_path / "rows.csv"
    out.write_text("precious")
    monkeypatch.setattr("laser_core.crm.reference.HistoryLR.score", lambda model, data, rows: rows * 0 + said)
    assert "history-lr must give probabilities from 0 to 1: 40 of 40" in refused(
        "score", trained, "movielens-small", "--rows", "40", "--out", out
    )
    assert out.read_text() == "precious"


@pytest.mark.parametrize("changed", [{"dataset": "ml-1m"}, {"data_version": "0123456789abcdef"}])
def test_a_model_of_other_data_scores_nothing(trained, tmp_path, monkeypatch, changed):
    """Whatever its class checks itself: a language model reads any data."""
    folder = shutil.copytree(trained, tmp_path / "model")
    (folder / "trained.json").write_text(json.dumps(json.loads((trained / "trained.json").read_text()) | changed))
    monkeypatch.setattr("laser_core.recommender.Recommender.check_data", lambda *_: None)
    line = refused("score", folder, "movielens-small", "--out", tmp_path / "rows.csv")
    assert f"was trained on {changed.get('dataset', 'movielens-small')} (version" in line and "laser train history-lr" in line
    assert not (tmp_path / "rows.csv").exists()


def test_what_is_replaced_is_said(tmp_path):
    folder, out = tmp_path / "model", tmp_path / "rows.csv"
    train = ("train", "popularity", "movielens-small", "--shots", "64", "--out", folder)
    score = ("score", folder, "movielens-small", "--rows", "40", "--out", out)
    assert [("replaced" in laser(*words).stderr) for words in (train, score, train, score)] == [False, False, True, True]


# ---- studies ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory, small) -> Path:
    """The store after `laser study run smoke`."""
    folder = tmp_path_factory.mktemp("ran") / "runs"
    result = laser("study", "run", "smoke", "--store", folder, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert "8 computed, 0 already there" in result.stderr
    return folder


def test_study_list():
    rows = {row["name"]: row for row in json.loads(laser("study", "list", "--json").stdout)}
    assert rows["smoke"]["cells"] == 8
    assert "demo" in rows
    assert "demo" in laser("study", "list").stdout


def test_study_plan_runs_nothing(store, small):
    rows = json.loads(laser("study", "plan", "smoke", "--json").stdout)
    assert len(rows) == 8
    assert {row["state"] for row in rows} == {"missing"}
    assert not list(store.rglob("*.json"))
    text = laser("study", "plan", "smoke")
    assert "8 of 8 cells are missing" in text.stderr


def test_study_runs_once(ran):
    again = laser("study", "run", "smoke", "--store", ran)
    assert again.exit_code == 0
    assert "0 computed, 8 already there" in again.stderr


def test_study_status(ran):
    rows = json.loads(laser("study", "status", "smoke", "--store", ran, "--json").stdout)
    assert {row["system"]: (row["done"], row["missing"]) for row in rows} == {"history-lr": (4, 0), "stats-lr": (4, 0)}
    assert "history-lr" in laser("study", "status", "smoke", "--store", ran).stdout


def test_study_table_holds_means_of_the_stored_cells(ran):
    rows = json.loads(laser("study", "table", "smoke", "--store", ran, "--json").stdout)
    assert len(rows) == 4
    stored = [json.loads(path.read_text()) for path in ran.glob("*/*/*.json")]
    for row in rows:
        values = [
            record["metrics"]["auc"]
            for record in stored
            if (record["cell"]["system"], record["cell"]["shots"]) == (row["system"], row["shots"])
        ]
        assert row["seeds"] == len(values) == 2
        assert row["auc"] == pytest.approx(sum(values) / 2, abs=1e-9)
        assert row["auc_low"] < row["auc"] < row["auc_high"]
    text = laser("study", "table", "--store", ran).stdout
    assert f"{rows[0]['auc']:.4f}"[1:] in text
    assert "N = 64" in text
    assert "6,164" in text
    for name, label in (("accuracy", "accuracy"), ("ece", "calibration error")):
        result = laser("study", "table", "--store", ran, "--metric", name)
        assert f"movielens-small: {label}" in result.stdout and "Mean over seeds." in result.stderr
        assert all(f"{row[name]:.4f}"[1:] in result.stdout for row in rows)


def test_study_at_once_of_what_is_in_the_study(ran, tmp_path):
    store = shutil.copytree(ran, tmp_path / "runs")
    ask = ("study", "at-once", "smoke", "--store", store, "--seeds", 1)
    assert "unknown system of study smoke 'history': did you mean 'history-lr'?" in refused(*ask, "--system", "history")
    assert "unknown N of study smoke '65': did you mean '64'?" in refused(*ask, "--shots", "64", "--shots", "65")
    result = laser(*ask, "--system", "history-lr", "--shots", "64")
    assert result.exit_code == 0 and "1 of 1 cells asked at once" in result.stderr
    assert "`laser report smoke` shows GAUC" in result.stderr
    (path,) = store.rglob("at-once/*.parquet")
    answers = pd.read_parquet(path).merge(pd.read_parquet(next(store.rglob("test-*.parquet"))), on="row")
    own = [(roc_auc_score(one["label"], one["probability"]), len(one)) for _, one in answers.groupby("user") if one["label"].nunique() == 2]
    worth = np.average([value for value, _ in own], weights=[samples for _, samples in own])
    table = ("study", "table", "smoke", "--store", store, "--metric", "gauc")
    (row,) = json.loads(laser(*table, "--json").stdout)
    assert row["gauc"] == pytest.approx(worth, abs=1e-9) and (row["system"], row["shots"]) == ("history-lr", 64)
    assert "movielens-small: GAUC" in (text := laser(*table).stdout) and f"{worth:.4f}"[1:] in text


def test_study_table_of_what_was_not_asked_at_once_names_the_command(ran):
    result = laser("study", "table", "smoke", "--store", ran, "--metric", "gauc")
    assert result.exit_code == 0 and "not run: laser study at-once smoke" in result.stderr


def test_export_says_what_is_missing(ran, tmp_path):
    store = shutil.copytree(ran, tmp_path / "runs")
    next(store.glob("movielens-small/history-lr/*.json")).unlink()
    result = laser("study", "export", "smoke", "--store", store, "--out", tmp_path / "out")
    assert "7 results of smoke copied, 1 of its 8 cells are not computed" in result.stdout
    assert len(list((tmp_path / "out").glob("*/*/*.json"))) == 7


@pytest.mark.parametrize(
    "words",
    [
        ["study", "table"],
        ["study", "gc"],
        *(["study", name, "smoke"] for name in ("status", "best", "at-once", "export")),
        ["report", "smoke"],
    ],
    ids=" ".join,
)
def test_a_store_to_read_must_be_there(words, tmp_path):
    (tmp_path / "file").write_text("")
    out = ["--out", tmp_path / "out"] if {"export", "report"} & set(words) else []
    assert "file is a file, not a folder of results" in refused(*words, "--store", tmp_path / "file", *out)
    assert "typo does not exist: name a folder" in refused(*words, "--store", tmp_path / "typo", *out)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_no_number_of_a_table_is_broken(columns, monkeypatch, capsys):
    from laser_core.cli.console import print_table

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    heads = [f"N = {4**power}" for power in range(2, 9)]
    row = [f".7{place}34\n.7{place}1-.7{place}9" for place in range(len(heads))]
    print_table("A title", ["system", *heads, "test rows"], [["A long name of a system", *row, "97,002"]], numbers=[*heads, "test rows"])
    words = re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out).replace("-", " ").split()
    for place, head in enumerate(heads):
        assert {head.split()[-1], f".7{place}34", f".7{place}1", f".7{place}9"} <= set(words)
    assert "97,002" in words


def test_stores_that_agree_say_so(ran):
    result = laser("study", "diff", ran, ran)
    assert result.stdout == "no cell came out different\n"
    assert "8 same" in result.stderr


def test_a_table_of_nothing_says_not_run(store):
    result = laser("study", "table")
    assert result.exit_code == 0
    assert "not run" in result.stderr
    assert json.loads(laser("study", "table", "--json").stdout) == []


def test_a_corrupt_result_is_set_aside_said_and_computed_again(ran, tmp_path):
    record = sorted(ran.glob("movielens-small/history-lr/*.json"))[0]
    whole = record.read_text()
    record.write_text(whole[: len(whole) // 2])
    run = subprocess.run(
        [sys.executable, "-m", "laser_core", "study", "run", "smoke", "--store", str(ran)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0
    assert f"{record.name} is damaged: set aside" in run.stderr
    assert "1 computed, 7 already there" in run.stderr
    assert record.with_name(record.name + ".corrupt").exists()
    assert json.loads(record.read_text())["metrics"] == json.loads(whole)["metrics"]


def test_demo_without_weights_says_so_in_one_line_and_does_the_rest(store, small, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "datasets").mkdir(parents=True)
    (home / "datasets" / small.name).symlink_to(datasets.cache_folder(small.name).resolve())
    monkeypatch.setenv("LASER_HOME", str(home))
    monkeypatch.setenv("LASER_PROFILE", "smoke")
    result = laser("demo", "--no-app")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "without the language model" in line]
    assert "weights" in line
    assert "History-LR" in result.stdout
    assert "0 computed" in laser("demo", "--no-app").stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_app_opens_the_dashboard_on_localhost_until_it_is_ended(ending, tmp_path):
    """In an empty home: streamlit asks newcomers for an email address unless told not to."""
    port = free_port()
    environment = {**os.environ, "HOME": str(tmp_path), "LASER_STORE": str(tmp_path / "runs")}
    command = [sys.executable, "-m", "laser_core", "app", "--port", str(port), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        try:
            line = next(line for line in run.stderr if line.startswith(("the dashboard is open", "error")))
            assert f"http://localhost:{port}" in line
            with urllib.request.urlopen(f"http://localhost:{port}/_stcore/health", timeout=30) as answer:
                assert answer.read() == b"ok"
            assert "is taken" in refused("app", "--port", port)
        finally:
            run.send_signal(ending)
            run.communicate(timeout=60)
    assert run.returncode == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://localhost:{port}", timeout=5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_without_a_port_the_first_free_one_is_taken(monkeypatch):
    monkeypatch.setattr(launch, "_is_taken", lambda port: port < 8504)
    assert launch._free_port(None) == 8504
    monkeypatch.setattr(launch, "_is_taken", lambda port: True)
    with pytest.raises(FaultError, match="8501 to 8520"):
        launch._free_port(None)


def test_app_outside_a_clone(monkeypatch, tmp_path):
    monkeypatch.setattr(launch, "PROJECT", tmp_path)
    assert "clone" in refused("app", code=1)


# ---- bad input: one clear line, 2 for the request, 1 for the machine ------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["data", "get", "movielens-smal"], "did you mean 'movielens-small'"),
        (["data", "card", "ml-2m"], "did you mean 'ml-1m'"),
        (["train", "dinn", "movielens-small", "--out", "x"], "did you mean 'din'"),
        (["train", "din", "movielens-smal", "--out", "x"], "did you mean 'movielens-small'"),
        (["train", "history-lr", "movielens-small", "--option", "sead=1", "--out", "x"], "unknown option 'sead'"),
        (["train", "history-lr", "movielens-small", "--option", "nonsense", "--out", "x"], "NAME=VALUE"),
        (["train", "history-lr", "movielens-small", "--shots", "many", "--out", "x"], "whole number"),
        (["train", "history-lr", "ml-1m", "--shots", "abc", "--out", "x"], "'abc' is no number of rows"),
        (["train", "history-lr", "movielens-small", "--shots", "0", "--out", "x"], "learns from labels and got none"),
        (["train", "history-lr", "movielens-small", "--shots", "1,000,000", "--out", "x"], "49,070 training samples"),
        (["train", "history-lr", "movielens-small", "--shots", "1", "--out", "x"], "one class only"),
        (["score", "nowhere", "movielens-small", "--out", "x.csv"], "laser train"),
        (["study", "run", "demmo"], "did you mean 'demo'"),
        (["study", "plan", "missing.toml"], "cannot be read"),
        (["study", "status", "smoke", "--profile", "smal"], "unknown profile"),
        (["study", "table", "--metric", "aucc"], "did you mean 'auc'"),
        (["study", "table", "--metric", "f1"], "unknown metric 'f1': known: accuracy, auc, ece, gauc, log_loss"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_request_is_one_line_and_exit_code_2(words, hint, small, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hint in refused(*words)
    assert not (tmp_path / "x").exists()


def test_wrong_option_of_the_command_line_itself():
    result = laser("study", "rum", "demo")
    assert result.exit_code == 2
    assert "Did you mean 'run'" in result.stderr


def test_wrong_rows_and_splits(trained, tmp_path):
    out = tmp_path / "x.csv"
    assert "unknown split" in refused("score", trained, "movielens-small", "--split", "testt", "--out", out)
    assert "test rows must be a positive whole number" in refused("score", trained, "movielens-small", "--rows", "-3", "--out", out)
    assert not out.exists()


def test_out_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    assert "another folder" in refused("train", "history-lr", "movielens-small", "--out", tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_a_place_where_nothing_can_be_written_is_noticed_before_the_work(trained, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("laser_core.cli.models.load_dataset", lambda *_: 1 / 0)
    for command in (("train", "history-lr", "movielens-small"), ("score", trained, "movielens-small")):
        assert "nothing can be written to" in refused(*command, "--out", tmp_path / "file" / "a" / "b")
    assert "is a folder" in refused("score", trained, "movielens-small", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_damaged_model_folder(trained, tmp_path):
    (tmp_path / "trained.json").write_text("{")
    assert "damaged" in refused("score", tmp_path, "movielens-small", "--out", tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [("ml-1m.zip", b"PK\x03\x04 cut off"), ("notes.txt", b"no ratings"), ("folder", None)],
    ids=["truncated zip", "wrong file", "empty folder"],
)
def test_wrong_raw_files(name, content, tmp_path, empty_home):
    source = tmp_path / name
    source.mkdir() if content is None else source.write_bytes(content)
    assert str(source) in refused("data", "get", "ml-1m", "--from", source)


def test_missing_raw_file(tmp_path, empty_home):
    assert "nowhere" in refused("data", "get", "ml-1m", "--from", tmp_path / "nowhere")


def test_no_network(empty_home):
    assert "LASER_OFFLINE" in refused("data", "get", "ml-1m", code=1)


def test_a_store_that_cannot_be_written(tmp_path, small):
    (tmp_path / "file").write_text("")
    assert "cannot write" in refused("study", "run", "smoke", "--store", tmp_path / "file" / "runs", code=1)


def test_wrong_settings(monkeypatch):
    monkeypatch.setenv("LASER_PROFILE", "gigantic")
    assert "LASER_PROFILE" in refused("study", "list")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/full/disk"), "no space left on the disk (/full/disk)"),
        (PermissionError(errno.EACCES, "Permission denied", "/closed"), "/closed: Permission denied"),
        (MemoryError(), "not enough memory"),
        (FaultError("two\nlines"), "two lines"),
        (ValueError("odd"), "ValueError: odd (a fault of the kit"),
    ],
    ids=["disk", "permission", "memory", "fault", "bug"],
)
def test_a_fault_is_one_line_and_exit_code_1(error, words, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(datasets, "load", fail)
    monkeypatch.setattr("laser_core.datasets.names", fail)
    assert words in refused("data", "list", code=1)


def test_debug_shows_the_traceback():
    run = subprocess.run(
        [sys.executable, "-m", "laser_core", "--debug", "data", "card", "nothing"], capture_output=True, text=True, check=False
    )
    assert run.returncode not in (0, 2)
    assert "Traceback" in run.stderr
    assert "UserError" in run.stderr


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------------


def test_ctrl_c_prints_one_line_and_the_same_command_goes_on(tmp_path, small):
    study = tmp_path / "long.toml"
    study.write_text('[[grid]]\ndatasets = ["movielens-small"]\nsystems = ["history-lr"]\nshots = [64, 256]\nseeds = [0, 1, 2, 3, 4, 5]\n')
    store = tmp_path / "runs"
    command = [sys.executable, "-m", "laser_core", "study", "run", str(study), "--store", str(store), "--jobs", "1"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not list(store.glob("*/*/*.json")) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert stderr.splitlines()[-1].startswith("stopped. What was finished is kept: the same command goes on")
    assert "Traceback" not in stderr
    kept = len(list(store.glob("*/*/*.json")))
    assert 1 <= kept < 12
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert f"{12 - kept} computed, {kept} already there" in again.stderr
