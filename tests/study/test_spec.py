from __future__ import annotations

import re
from pathlib import Path

import pytest

from laser_core.errors import UserError
from laser_core.study.spec import Cell, load_study, studies

MINIMAL = """
[[grid]]
datasets = ["movielens-small"]
systems = ["history-lr"]
shots = [64]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_grid_is_every_combination(tmp_path):
    text = """
        title = "T"
        question = "Q?"
        [[grid]]
        datasets = ["movielens-small"]
        systems = ["din", "deepfm"]
        shots = [64, "all"]
        seeds = [0, 1, 2]
        test_rows = 500
        threads = 2
        options = { epochs = 3 }
        vary = { dropout = [0.0, 0.1], embedding = [8, 16] }
    """
    study = load_study(write(tmp_path, text), "full")
    cells = study.cells()
    assert (study.name, study.title, study.question, study.profile) == ("mine", "T", "Q?", "full")
    assert len(cells) == 2 * 2 * 3 * 4
    assert cells[0] == Cell("movielens-small", "din", 64, 0, 500, {"epochs": 3, "dropout": 0.0, "embedding": 8}, 2)
    assert str(cells[0]) == "din, movielens-small, N = 64, seed 0, epochs = 3, dropout = 0.0, embedding = 8"
    assert len({str(cell) for cell in cells}) == len(cells)


def test_a_cell_that_two_parts_name_is_one_cell(tmp_path):
    assert len(load_study(write(tmp_path, MINIMAL + MINIMAL)).cells()) == 3


def test_profiles_change_or_leave_out_a_part(tmp_path):
    text = MINIMAL + "[grid.smoke]\nshots = [16]\nseeds = [0]\n" + MINIMAL + "[grid.smoke]\nskip = true\n[grid.full]\nseeds = [7]\n"
    path = write(tmp_path, text)
    assert [(cell.shots, cell.seed) for cell in load_study(path, "smoke").cells()] == [(16, 0)]
    assert len(load_study(path, "demo").cells()) == 3
    assert sorted(cell.seed for cell in load_study(path, "full").cells()) == [0, 1, 2, 7]


def test_the_profile_comes_from_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_PROFILE", "smoke")
    assert load_study(write(tmp_path, MINIMAL)).profile == "smoke"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = [0]", "unknown key 'seed': did you mean 'seeds'?"),
        ("[grid.smoke]\nshot = [1]", "unknown key 'shot': did you mean 'shots'?"),
        ("seeds = 3", "'seeds' must be a list, not 3"),
        ("seeds = []", "'seeds' is empty"),
        ("seeds = [-1]", "seeds must be whole numbers from 0"),
        ("test_rows = 0", "test_rows must be a positive whole number or 'all', not 0"),
        ("threads = 0", "threads must be a positive whole number, not 0"),
        ("seconds = -1", "seconds must be a number, 0 for no limit, not -1"),
        ("seconds = nan", "seconds must be a number, 0 for no limit, not nan"),
        ("seconds = inf", "seconds must be a number, 0 for no limit, not inf"),
        ("threads = true", "threads must be a positive whole number, not True"),
        ("options = 3", "'options' must be a table"),
        ("options = { epochs = 1979-05-27 }", "option 'epochs' must be a number, a text, true, false or a list of such, not 1979-05-27"),
        ("vary = { epochs = [1, 07:32:00] }", "option 'epochs' must be a number, a text, true, false or a list of such, not [1, "),
        ("vary = { dropout = 0.1 }", "'vary' must list the values of 'dropout'"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_study(write(tmp_path, MINIMAL + text), "smoke")
    assert str(caught.value).startswith("study mine.toml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("movielens-small", "movielens-smal", "unknown data set 'movielens-smal': did you mean 'movielens-small'?"),
        ("history-lr", "histry-lr", "unknown system 'histry-lr': did you mean 'history-lr'?"),
        ('["movielens-small"]', '[["movielens-small"]]', "'datasets' must hold names only, not [['movielens-small']]"),
        ('["history-lr"]', '[["history-lr"]]', "'systems' must hold names only, not [['history-lr']]"),
        ('["history-lr"]', "[1]", "'systems' must hold names only, not [1]"),
        ("64", "0", "shots = 0 is for systems that can do without labels, and history-lr cannot: put it in another [[grid]]"),
        ("64", "-1", "shots must be a whole number from 0 or 'all', not -1"),
        ("64", '"al"', "shots must be a whole number from 0 or 'all', not 'al'"),
        ("shots", "# shots", "a [[grid]] part lacks shots"),
        ("[[grid]]", "[[gird]]", "unknown key 'gird': did you mean 'grid'?"),
        ("[[grid]]", "", "unknown key 'datasets'"),
        (MINIMAL, "", "it has no [[grid]] part"),
        ("[[grid]]", "[[grid", "not valid TOML"),
    ],
)
def test_wrong_values_are_named(tmp_path, old, new, message):
    with pytest.raises(UserError, match=re.escape(message)):
        load_study(write(tmp_path, MINIMAL.replace(old, new)))


def test_unknown_studies_and_profiles_are_named(tmp_path):
    with pytest.raises(UserError, match="unknown study 'dmo': did you mean 'demo'"):
        load_study("dmo")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        load_study(tmp_path / "none.toml")
    with pytest.raises(UserError, match="unknown profile 'fll': did you mean 'full'"):
        load_study("demo", "fll")


def test_your_own_data_by_its_mapping_file(tmp_path):
    lines = ["u,i,r,t", *(f"{user},{item},{1 + (3 * user + item) % 5},{item}" for user in range(12) for item in range(12))]
    (tmp_path / "ratings.csv").write_text("\n".join(lines), encoding="utf-8")
    mapping = 'name = "my-study-films"\nlabel = "rating >= 4"\nsplit = "time"\n[ratings]\nfile = "ratings.csv"\n'
    (tmp_path / "films.toml").write_text(mapping + 'user = "u"\nitem = "i"\nrating = "r"\ntime = "t"\n', encoding="utf-8")
    path = write(tmp_path, MINIMAL.replace("movielens-small", "films.toml"))
    assert {cell.dataset for cell in load_study(path).cells()} == {"my-study-films"}


def test_a_study_may_include_others(tmp_path):
    study = load_study(write(tmp_path, 'include = ["smoke"]\npaper_table = 2\n' + MINIMAL))
    assert study.paper_table == 2
    assert [cell.shots for cell in study.cells()] == [
        *(cell.shots for cell in load_study("smoke").cells()),
        64,
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('include = ["mine"]', "it includes itself"),
        ('include = ["no-such"]', "unknown study 'no-such'"),
        ("include = []", "no [[grid]] part"),
        ("include = [1]", "'include' must hold names only, not [1]"),
        ('include = [["smoke"]]', "'include' must hold names only, not [['smoke']]"),
        ('include = ["a\\u0000b.toml"]', "cannot be read: embedded null"),
        ("paper_table = 4" + MINIMAL, "paper_table must be 1, 2 or 3, not 4"),
    ],
)
def test_what_cannot_be_included_is_said(tmp_path, text, words):
    with pytest.raises(UserError, match=re.escape(words)):
        load_study(write(tmp_path, text))


@pytest.mark.parametrize("name", studies())
def test_every_study_of_the_kit_says_its_command_cost_and_reasons(name):
    text = studies()[name].read_text(encoding="utf-8")
    opening = text.split("\n\n")[0]
    assert opening.startswith(f"# laser study run {name}")
    assert "# Cost: " in opening
    assert "# Why these values: " in opening
    for profile in ("smoke", "demo", "full"):
        study = load_study(name, profile)
        assert study.title
        assert study.question.endswith("?")
        assert study.cells() or profile == "smoke"
