"""What README.md and results/FINDINGS.md say of the recorded runs is what the recorded runs say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from laser_core import metrics
from laser_core.figures import system_label

PROJECT = Path(__file__).resolve().parent.parent
README, FINDINGS = ((PROJECT / name).read_text(encoding="utf-8") for name in ("README.md", "results/FINDINGS.md"))
TOLD = " ".join(FINDINGS.split())


def recorded_means(dataset: str, test_rows: int, seeds: int) -> dict[str, dict[str, float]]:
    """Label of a system -> N -> mean AUC over the first subsets, at least three of them, on so many test rows."""
    from laser_core.study.store import ResultStore
    from laser_core.study.summary import summarise

    cells = ResultStore(PROJECT / "results").cells()
    points = summarise(cells[(cells["dataset"] == dataset) & (cells["test_rows"] == test_rows) & (cells["seed"] < seeds)])
    found: dict[str, dict[str, float]] = {}
    for point in points[points["seeds"] >= 3].itertuples():
        found.setdefault(system_label(point.system, point.variant), {})[str(point.shots)] = point.auc
    return found


@pytest.fixture(scope="module")
def recorded() -> dict[str, dict[str, float]]:
    """MovieLens-1M: label of a system -> N -> mean AUC on the whole test split."""
    return recorded_means("ml-1m", 97_002, 5)


def tables(text: str) -> dict[str, tuple[list[str], list[list[str]]]]:
    """What stands over the first column -> (the N of the other columns, the rows)."""
    blocks = re.findall(r"^\| (system[^|]*) \|(.*)\|\n\|[-|]+\|\n((?:\|.*\|\n)+)", text, re.MULTILINE)
    tables = {}
    for title, heads, lines in blocks:
        rows = [line.strip("| ").split(" | ") for line in lines.strip().splitlines()]
        tables[title] = (heads.replace(",", "").replace("|", " ").split(), rows)
    return tables


@pytest.mark.parametrize(
    ("text", "title", "dataset", "test_rows", "seeds"),
    [
        (README, "system", "ml-1m", 97_002, 5),
        (FINDINGS, "system", "ml-1m", 97_002, 5),
        (FINDINGS, "system, MovieLens-small (6,164 test rows)", "movielens-small", 6_164, 3),
        (FINDINGS, "system, MovieLens-1M (2,000 test rows)", "ml-1m", 2_000, 3),
    ],
    ids=["README", "MovieLens-1M", "small, alone", "MovieLens-1M, alone"],
)
def test_figures_are_those_of_the_recorded_runs(text, title, dataset, test_rows, seeds):
    heads, table = tables(text)[title]
    recorded = recorded_means(dataset, test_rows, seeds)
    assert len(table) >= 3 and len(heads) >= 2
    for label, *numbers in table:
        assert numbers == [f"{recorded[label][n]:.4f}".removeprefix("0") for n in heads], label


def test_figures_of_one_n_are_means_over_the_same_subsets(lesson):
    """Means over other subsets are not to stand beside each other: down each column they are the same."""
    cells = lesson.recorded().cells()
    cells = cells[(cells["dataset"] == "ml-1m") & (cells["test_rows"] == 97_002) & (cells["seed"] < 5)]
    cells = cells.assign(label=[system_label(*pair) for pair in zip(cells["system"], cells["variant"], strict=True)])
    heads, table = tables(FINDINGS)["system"]
    shown = cells[cells["label"].isin([label for label, *_ in table]) & cells["shots"].astype(str).isin(heads)]
    subsets = shown.groupby(["shots", "label"])["seed"].agg(frozenset).unstack("label")
    assert subsets.shape == (len(heads), len(table)) and (subsets.nunique(axis=1) == 1).all()
    assert {str(n): len(own.iloc[0]) for n, own in subsets.iterrows()} == {n: 3 if n == "all" else 5 for n in heads}


def test_what_is_said_of_all_systems_holds(recorded):
    """Of systems as they are, without tuned settings: the plain input and the enriched one."""
    ours, random = "Laser, LLM+CRM (no statistics)", "Laser, LLM+CRM (no statistics, vectors random)"
    for n in ("256", "1024", "4096", "16384", "65536", "all"):
        assert recorded[ours][n] > max(recorded["SIM (no statistics)"][n], recorded[random][n])
    assert f"{recorded['Laser, LLM+CRM']['all']:.4f}" == "0.8035" and f"{recorded['Ease-LightGBM']['all']:.4f}" == "0.8175"


@pytest.fixture
def lesson(monkeypatch):
    """What the notebooks read results with, on those that come with the kit and no others."""
    for name in ("LASER_RECORDED", "LASER_STORE"):
        monkeypatch.setenv(name, str(PROJECT / "results"))
    monkeypatch.syspath_prepend(str(PROJECT / "notebooks"))
    import lesson

    lesson.cells.cache_clear()
    yield lesson
    lesson.cells.cache_clear()


@pytest.fixture
def full(lesson):
    """Recorded cells of one system: (data set, N, system, options) -> those of five subsets and the whole test split."""
    cells = lesson.recorded().cells()
    rows = {"movielens-small": 6_164, "ml-1m": 97_002}

    def own(dataset: str, n: int | str, system: str, variant: str = "") -> pd.DataFrame:
        found = cells[(cells["dataset"] == dataset) & (cells["shots"] == n) & (cells["test_rows"] == rows[dataset]) & (cells["seed"] < 5)]
        return found[(found["system"] == system) & (found["variant"] == variant)]

    return own


def test_what_is_said_of_counting_holds(full, lesson):
    def says(n: int | str, one: str, other: str, options: str = "") -> str:
        return lesson.gap(full("ml-1m", n, one), full("ml-1m", n, other, options))["says"]

    n = (256, 1024, 4096, 16384, 65536, 262144, "all")
    assert [says(one, "stats-lr", "sim") for one in n] == ["level", *4 * ["ahead"], "level", "behind"]
    assert [says(one, "stats-lr", "laser-crm") for one in n] == ["behind", "level", *3 * ["ahead"], *2 * ["behind"]]
    assert [says(one, "ease-lr", "laser-crm") for one in n] == ["behind", "level", *5 * ["ahead"]]
    assert says("all", "ease-lr", "laser-crm", "collaborative=true") == says("all", "ease-lr", "sim", "collaborative=true") == "level"
    ours, sim = (full("ml-1m", "all", name, "collaborative=true") for name in ("laser-crm", "sim"))
    assert lesson.gap(ours, sim)["says"] == "level"
    for one in (64, 256, 1024, 4096):
        assert lesson.gap(full("movielens-small", one, "stats-lr"), full("movielens-small", one, "laser-crm"))["says"] == "level"
    best = full("ml-1m", "all", "laser-crm")
    assert _short(((best["auc_high"] - best["auc_low"]) / 2).mean(), 3) == ".008"


def test_what_is_said_of_nearby_and_familiar_holds(full, lesson):
    worth = []
    for n in (256, 1024):
        ours, near, known = (full("movielens-small", n, "laser-crm", variant) for variant in ("", "nearby=0.0", "familiar=false"))
        worth.append(lesson.gap(ours, near))
        assert lesson.gap(ours, known)["says"] == "level"
    assert [gap["says"] for gap in worth] == ["ahead", "ahead"]
    assert "`nearby` is worth {} and {} with 256 and 1,024 labels".format(*(_short(gap["gap"], 4) for gap in worth)) in TOLD


def test_what_is_said_of_labels_saved_holds(lesson):
    from laser_core.metrics.efficiency import isotonic, shots_needed
    from laser_core.study import learning_curves

    cells = lesson.recorded().cells()
    cells = cells[(cells["dataset"] == "ml-1m") & (cells["test_rows"] == 97_002) & (cells["variant"] == "")]
    ours, sim = (learning_curves.curve(lesson.draws, cells[cells["system"] == name]) for name in ("laser-crm", "sim"))
    needs = learning_curves.label_needs(ours, sim).set_index(["question", "shots"])
    few, many = (256, 1024, 4096), (16384, 65536, 262144)
    times = {n: "{value:.1f} [{low:.1f}; {high:.1f}]".format(**needs.loc[("multiplier", n)]) for n in few}
    times |= {n: "{value:.2f} [{low:.2f}; {high:.2f}]".format(**needs.loc[("multiplier", n)]).replace("[0.", "[.") for n in many}
    labels = "{:,.0f} [{:,.0f}; {:,.0f}]".format(*(round(value, -3) for value in needs.loc[("match", 776007), ["value", "low", "high"]]))
    assert (
        f"needs {times[256]} times as many with 256 labels, {times[1024]} with 1,024, {times[4096]} with 4,096, {times[16384]} with" in TOLD
    )
    assert f"{times[16384]} with 16,384, {times[65536]} with 65,536 and {times[262144]} with 262,144." in TOLD, (
        "every N, not the better ones"
    )
    assert all(needs.loc[("multiplier", n), "low"] > 1 for n in (*few, *many)), "it saves some at each"
    level = dict(zip(ours.shots, isotonic(ours.draws), strict=True))
    saved = {n: shots_needed(sim.shots, sim.draws, level[n]) / n for n in (4096, *many)}
    for n in many:
        assert (saved[4096] > saved[n]).mean() > 0.95, "with more it saves less"
    assert f"LLM+CRM takes {labels}." in TOLD
    readme = " ".join(README.split())
    assert f"needs {times[1024]} times as many labels to equal it with 1,024, and {times[4096]} times with 4,096" in readme
    assert f"with 16,384 it is {times[16384]}, with 65,536 it is {times[65536]}." in readme
    assert f"it takes {labels} of them;" in readme


def test_what_is_said_of_half_of_the_labels_holds(full, lesson):
    half = {name: full("ml-1m", 388003, name) for name in ("sim", "laser-crm")}
    whole = full("ml-1m", "all", "sim")
    means = [_short(cells["auc"].mean(), 4) for cells in (half["laser-crm"], half["sim"], whole)]
    assert lesson.gap(half["laser-crm"], half["sim"])["says"] == "ahead"
    behind = lesson.gap(whole, half["laser-crm"])
    gap = " ".join([_short(behind["gap"], 4), "[{}; {}]".format(*(_short(behind[end], 4) for end in ("low", "high")))])
    assert (behind["says"], behind["seeds"]) == ("ahead", 3)
    told = f"ours ({means[0]}) is ahead of SIM with the same half ({means[1]}), and behind SIM with all ({means[2]}), by {gap}."
    assert told in TOLD
    assert f"if it is read rightly, it is behind by {gap}." in " ".join(README.split())


def test_what_is_said_of_words_and_fields_holds(full, lesson):
    """The same machinery without a language model: the table, and what is said of it."""

    def told(gap: dict[str, float | str]) -> str:
        value, *ends = (f"{gap[end]:.4f}".replace("0.", ".", 1) for end in ("gap", "low", "high"))
        return f"{'+' if gap['gap'] > 0 else ''}{value} [{'; '.join(ends)}]"

    names, shares, over = {"MovieLens-small": "movielens-small", "MovieLens-1M": "ml-1m"}, [], []
    rows = re.findall(r"^\| (MovieLens-\w+) \| ([\d,]+) \| (.*) \|$", FINDINGS, re.MULTILINE)
    assert len(rows) == 8
    for title, n, numbers in rows:
        words, fields, ours, sim = (
            full(names[title], int(n.replace(",", "")), name) for name in ("words-crm", "fields-crm", "laser-crm", "sim")
        )
        gaps = [lesson.gap(*pair) for pair in ((words, sim), (fields, sim), (ours, sim), (ours, fields))]
        assert {gap["seeds"] for gap in gaps} == {5}
        assert numbers == " | ".join(map(told, gaps))
        assert gaps[1]["says"] == gaps[2]["says"] == "ahead"
        shares.append(gaps[0]["gap"] / gaps[2]["gap"])
        over.append(gaps[3])
    few, many = over[:6], over[6:]  # up to 4,096 labels, and more
    assert min(shares[:6]) > 0.35 and max(shares[:6]) < 0.45, "about two fifths"
    assert all(gap["gap"] > 0 for gap in few) and sum(gap["low"] > 0 for gap in over) == 1
    assert {gap["says"] for gap in many} == {"level"} and abs(shares[-1]) < 0.1, "words with 65,536 labels"
    ends = [_short(end(gap["gap"] for gap in few), 4) for end in (min, max)]
    assert f"every mean of LLM+CRM is higher still, by {ends[0]} to {ends[1]}; one interval of eight leaves out zero" in TOLD
    readme = " ".join(README.split())
    assert f"LLM+CRM has {ends[0]} to {ends[1]} more" in readme

    def together(dataset: str, one: str, other: str, more: tuple[int, ...] = ()) -> dict[str, float | str]:
        """The mean of the gaps at three N (and more): paired by seed and by draws over test users, which all N share."""
        pairs = [full(dataset, n, one).merge(full(dataset, n, other), on="seed") for n in (256, 1024, 4096, *more)]
        draws = np.mean(
            [[lesson.draws(x) - lesson.draws(y) for x, y in zip(at["key_x"], at["key_y"], strict=True)] for at in pairs], axis=0
        )
        assert {tuple(at["seed"]) for at in pairs} == {(0, 1, 2, 3, 4)}
        return lesson.mean_gap(np.mean([at["auc_x"] - at["auc_y"] for at in pairs], axis=0), draws.std(axis=1))

    large, small = (together(dataset, "laser-crm", "fields-crm") for dataset in ("ml-1m", "movielens-small"))
    for dataset in names.values():
        gain, whole = (together(dataset, one, "sim")["gap"] for one in ("fields-crm", "laser-crm"))
        assert 0.75 < gain / whole < 0.85, "four fifths"
    assert (large["says"], small["says"]) == ("ahead", "level")
    assert f"ahead of Fields+CRM on MovieLens-1M, by {told(large)}; on MovieLens-small, at {told(small)}, it stays open" in TOLD
    whole = together("ml-1m", "laser-crm", "fields-crm", (16384, 65536))
    assert whole["says"] == "level" and f"With all five N together it is {told(whole)}." in TOLD
    assert "With 16,384 and 65,536 labels of MovieLens-1M the two are level." in readme
    assert f"together {told(large)} on MovieLens-1M and {told(small)} on MovieLens-small." in readme
    for dataset in names.values():
        assert [together(dataset, one, "words-crm")["says"] for one in ("laser-crm", "fields-crm")] == ["ahead", "ahead"]
    for dataset in names.values():
        for n in (256, 1024, 4096):
            pair = (full(dataset, n, name, "statistics=false") for name in ("laser-crm", "fields-crm"))
            assert lesson.gap(*pair)["says"] == "level"


def test_what_is_said_of_films_as_clusters_holds(full, lesson, ml_1m):
    """Samples that share a user or a film go together: variance by users, plus by films, minus by both (Cameron and others, 2011)."""
    store, larger = lesson.recorded(), []

    def gap(n: int, other: str) -> dict[str, float | str]:
        pairs = full("ml-1m", n, "laser-crm").merge(full("ml-1m", n, other), on="seed")
        by_user, by_both = [], []
        for one, second in zip(pairs["key_x"], pairs["key_y"], strict=True):
            ours, theirs = store.predictions(one), store.predictions(second)
            columns = [ours["label"].to_numpy(), ours["probability"].to_numpy(), theirs["probability"].to_numpy()]
            clusters = ours["user"].to_numpy(), ml_1m.sample_item(ours["row"].to_numpy()), np.arange(len(ours))
            user, film, sample = (metrics.delong(*columns, each).standard_error ** 2 for each in clusters)  # a user rates a film once
            by_user.append(user)
            by_both.append(user + film - sample)
        larger.append((np.mean(by_both) / np.mean(by_user)) ** 0.5)
        return lesson.mean_gap((pairs["auc_x"] - pairs["auc_y"]).to_numpy(), np.sqrt(by_both))

    assert [gap(n, "fields-crm")["says"] for n in (256, 1024, 4096)] == ["level"] * 3
    assert f"are {min(larger):.1f} to {max(larger):.1f} times as large on MovieLens-1M" in TOLD
    assert [gap(n, "sim")["says"] for n in (256, 1024, 4096)] == ["ahead"] * 3


def test_what_is_said_of_equal_labels_holds(lesson):
    """Beside a reference with as many labels as the prompts showed; three subsets, N up to 1,024."""
    small, ml_1m, both = ("movielens-small", []), ("ml-1m", ["block=1"]), ["statistics=true", "nearby=0.1"]

    def found(data: tuple[str, list[str]], reference: str, *more: str) -> pd.DataFrame:
        table = lesson.at_equal_labels(data[0], "laser-llm-counted", ", ".join([*data[1], *more]), reference).set_index("N").loc[:1024]
        assert list(table.index) == [16, 64, 256, 1024] and set(table["seeds"]) == {3}
        assert (table["labels seen"] == table["the reference's labels"]).all()
        assert set((table["labels seen"] / table.index).round()) == ({16, 18, 19} if data is small else {11})
        return table

    for data in (small, ml_1m):
        assert set(found(data, "history-lr")["says"]) == {"level", "behind"}
        assert set(found(data, "history-lr", "statistics=true")["says"]) <= {"level", "ahead"}
    assert list(found(small, "history-lr", *both)["says"]) == ["level", "level", "ahead", "ahead"]
    assert list(found(ml_1m, "history-lr", *both)["says"]) == ["level", "ahead", "level", "ahead"]
    assert set(found(small, "stats-lr", *both)["says"]) == {"level"}
    counted = found(ml_1m, "stats-lr", *both)
    assert list(counted["says"]) == ["level", "ahead", "level", "behind"]
    gaps = [_short(abs(counted["gap"][n]), 3) for n in (64, 1024)]
    assert (
        f"ahead with 64 samples (698 labels) by {gaps[0]}, level with 16 and 256, and behind with 1,024 (11,084 labels) by {gaps[1]}"
        in TOLD
    )
    assert list(counted["labels seen"][[64, 1024]]) == [698, 11084]
    assert "behind it on MovieLens-1M with the 11,084 that 1,024 samples teach" in " ".join(README.split())


@pytest.mark.parametrize(("dataset", "test_rows"), [("movielens-small", 6_164), ("ml-1m", 2_000)])
def test_what_is_said_of_the_best_form_holds(dataset, test_rows, lesson, request):
    """Allowing for the choice of the best on either side."""
    from laser_core.study import contrast

    if dataset == "ml-1m":
        request.getfixturevalue("ml_1m")
    store = lesson.recorded()
    cells = store.cells()
    cells = cells[(cells["dataset"] == dataset) & (cells["test_rows"] == test_rows)]
    found = {n: contrast.verdict(store.predictions, cells, n) for n in (64, 256, 1024)}
    assert {one.with_lm[0] for one in found.values()} == {"laser-llm-counted"}
    assert [one.says for one in found.values()] == ["level", "ahead", "level"]
    forms = cells[(cells["system"] == "laser-llm-counted") & (cells["shots"] == 256)]["variant"].nunique()
    assert forms in (12, 14), "a dozen"
    assert "choosing the best of its forms, with 256 only." in " ".join(README.split())


@pytest.mark.parametrize(
    ("dataset", "test_rows", "variant"),
    [("movielens-small", 6_164, "statistics=true, nearby=0.1"), ("ml-1m", 2_000, "block=1, statistics=true, nearby=0.1")],
)
def test_what_is_said_of_other_rivals_holds(dataset, test_rows, variant, lesson):
    cells = lesson.recorded().cells()
    cells = cells[(cells["dataset"] == dataset) & (cells["test_rows"] == test_rows) & (cells["seed"] < 3)]
    for n in (256, 1024):
        own = cells[cells["shots"] == n]
        ours = own[(own["system"] == "laser-llm-counted") & (own["variant"] == variant)]
        for rival in ("stats-lr", "ease-lr", "lightgbm", "sim", "fields-crm"):
            found = lesson.gap(ours, own[(own["system"] == rival) & (own["variant"] == "")])
            assert (found["says"], found["seeds"]) == ("ahead", 3), (n, rival)


def test_what_is_said_of_lora_holds(lesson):
    cells = lesson.recorded().cells()
    cells = cells[(cells["system"] == "laser-llm-short") & (cells["dataset"] == "movielens-small")].set_index("shots")["auc"]
    told = [_short(cells[n], 3) for n in (64, 256, 1024, 0)]
    assert f"{told[0]}, {told[1]} and {told[2]} with 64, 256 and 1,024 labels, {told[3]} without any" in TOLD


def test_what_is_said_of_lora_in_both_forms_of_prompt_holds(lesson):
    cells = lesson.recorded().cells()
    cells = cells[(cells["dataset"] == "movielens-small") & (cells["test_rows"] == 1_000) & (cells["shots"] == 256)].set_index("system")
    one, many = cells.loc["laser-llm"], cells.loc["laser-llm-short"]
    assert one["auc_low"] < 0.5 < one["auc_high"] < many["auc_low"], "a coin's"
    tokens = [f"{form['fit_tokens']:,.0f}" for form in (one, many)]
    assert (
        f"has {_short(one['auc'], 3)}, a coin's AUC, for {tokens[0]} tokens read in tuning; many targets had theirs for {tokens[1]}."
        in TOLD
    )


@pytest.mark.parametrize(("dataset", "test_rows"), [("movielens-small", 6_164), ("ml-1m", 97_002)])
def test_what_is_said_of_few_labels_holds(dataset, test_rows, lesson):
    """LLM+CRM beside its own backbone, both with statistics, and beside random vectors: ahead with 256, 1,024 and 4,096 labels."""
    cells = lesson.recorded().cells()
    cells = cells[(cells["dataset"] == dataset) & (cells["test_rows"] == test_rows)]
    for n in (256, 1024, 4096):
        own = cells[cells["train_rows"] == n]
        ours = own[(own["system"] == "laser-crm") & (own["variant"] == "")]
        random = own[(own["system"] == "laser-crm") & (own["variant"] == 'vectors="random"')]
        for other in (own[(own["system"] == "sim") & (own["variant"] == "")], random):
            found = lesson.gap(ours, other)
            assert (found["says"], found["seeds"]) == ("ahead", 5), (n, found)


def test_what_is_said_of_chosen_settings_holds(lesson):
    cells = lesson.recorded().cells()
    usual, chosen = {"plain": "statistics=false", "enriched": ""}, {"plain": "statistics=false, choose=true", "enriched": "choose=true"}

    def minus(dataset: str, n: int, one: tuple[str, str], other: tuple[str, str]) -> dict[str, float | str]:
        seeds, rows = {"movielens-small": (5, 6_164), "ml-1m": (3, 97_002)}[dataset]
        at = cells[(cells["dataset"] == dataset) & (cells["train_rows"] == n) & (cells["seed"] < seeds) & (cells["test_rows"] == rows)]
        first, second = (at[(at["system"] == name) & (at["variant"] == what)] for name, what in (one, other))
        assert len(first) == len(second) == seeds
        return lesson.gap(first, second)

    def told(found: dict[tuple[str, str, int], dict]) -> dict[tuple[str, str, int], str]:
        assert {gap["says"] for gap in found.values()} <= {"ahead", "level"}
        return {place: _short(gap["gap"], 3) for place, gap in found.items() if gap["says"] == "ahead"}

    places = [("movielens-small", of, n) for of in usual for n in (64, 256, 1024, 4096)]
    places += [("ml-1m", of, n) for of in usual for n in (256, 1024, 4096)]
    sim = told({(name, of, n): minus(name, n, ("sim", chosen[of]), ("sim", usual[of])) for name, of, n in places})
    assert sim.keys() == {("movielens-small", "plain", 256), ("movielens-small", "enriched", 1024)}
    few, more = sim.values()
    assert f"that is worth {few} of AUC to SIM on the plain input with 256 labels, and {more} with the statistics and 1,024" in TOLD
    assert told({(name, of, n): minus(name, n, ("laser-crm", chosen[of]), ("laser-crm", usual[of])) for name, of, n in places}) == {}
    ahead = told({(name, of, n): minus(name, n, ("laser-crm", chosen[of]), ("sim", chosen[of])) for name, of, n in places})
    small = [ahead.pop(("movielens-small", "enriched", n)) for n in (64, 256, 1024, 4096)]
    assert f"with the statistics by {min(small)} to {max(small)} at 64, 256, 1,024 and 4,096 labels" in TOLD
    few, more = (ahead.pop(("movielens-small", "plain", n)) for n in (1024, 4096))
    assert f"on the plain input by {few} and {more} at 1,024 and 4,096." in TOLD
    few, more = (ahead.pop(("ml-1m", "enriched", n)) for n in (256, 1024))
    assert f"by {few} and {more} with the statistics at 256 and 1,024," in TOLD
    few, more = (ahead.pop(("ml-1m", "plain", n)) for n in (1024, 4096))
    assert f"by {few} and {more} on the plain input at 1,024 and 4,096." in TOLD
    assert ahead == {}


def asked_at_once(lesson, dataset: str, shots: int):
    """(GAUC by system and options, the paired gaps to any of them, in the words of the text) of the recorded results."""
    from laser_core.study import contrast

    store = lesson.recorded()
    cells = store.cells()
    own = cells[(cells["dataset"] == dataset) & (cells["shots"] == shots) & cells["key"].isin(store.asked_at_once())]
    points = contrast.within_users(store.at_once, own).set_index(["system", "variant"])

    def over(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str, str]:
        found = contrast.gaps(store.at_once, own, other, "gauc").set_index(["system", "variant"]).loc[one]
        says = "ahead" if found["low"] > 0 else "behind" if found["high"] < 0 else "level"
        gap = f"+{_short(found['gap'], 3)}" if found["gap"] > 0 else "less"
        return says, gap, f"{gap} [{_short(found['low'], 3)}; {_short(found['high'], 3)}]"

    return points, over


def test_what_is_said_of_one_user_holds(lesson):
    ours, sim = ("laser-crm", ""), ("sim", "")
    points, over = asked_at_once(lesson, "movielens-small", 1024)
    says, _, words = over(ours, sim)
    assert says == "ahead" and points.loc[ours, "seeds"] == 5 and _short(points.loc[ours, "pairs"], 3) == ".002"
    assert f"GAUC {_short(points.loc[ours, 'gauc'], 3)} on MovieLens-small (five subsets; {words})" in TOLD
    assert over(("laser-crm", 'vectors="random"'), sim)[:2] == ("level", "less")
    assert over(ours, ("fields-crm", ""))[0] == "level"
    readme = " ".join(README.split())
    assert f"GAUC {words} on MovieLens-small," in readme
    says, _, words = over(("fields-crm", ""), sim)
    assert says == "ahead" and f"So does Fields+CRM (MovieLens-small: {words})" in readme
    assert [over(ours, (name, ""))[0] for name in ("stats-lr", "ease-lr")] == ["level", "level"]
    _, over = asked_at_once(lesson, "movielens-small", 256)
    says, _, words = over(ours, sim)
    assert says == "level" and f"With 256 labels it is level with SIM: {words} and " in TOLD
    few = [over(ours, (name, "")) for name in ("stats-lr", "ease-lr")]
    assert [says for says, *_ in few] == ["ahead", "ahead"]
    assert f"with 256 labels it is ahead of both on MovieLens-small ({few[0][1]} and {few[1][1]})" in TOLD


def test_what_is_said_of_one_user_on_movielens_1m_holds(lesson, ml_1m):
    ours, plain, counts = ("laser-crm", ""), ("laser-crm", "statistics=false"), ("history-lr", "")
    points, over = asked_at_once(lesson, "ml-1m", 1024)
    says, _, words = over(ours, ("sim", ""))
    assert says == "ahead" and points.loc[ours, "seeds"] == 3
    assert _short(metrics.pairs_within_users(ml_1m.labels(ml_1m.test), ml_1m.sample_user(ml_1m.test)), 3) == ".002"
    assert f"and {_short(points.loc[ours, 'gauc'], 3)} on MovieLens-1M (three subsets; {words})" in TOLD
    assert f"{words} on MovieLens-1M." in " ".join(README.split())
    assert [over(ours, (name, ""))[0] for name in ("stats-lr", "ease-lr")] == ["level", "level"]
    auc, gauc = ([_short(points.loc[one, metric], 3) for one in (plain, counts)] for metric in ("auc", "gauc"))
    assert f"it has an AUC of {auc[0]} on MovieLens-1M and History-LR one of {auc[1]}, but a GAUC of {gauc[0]} against {gauc[1]}:" in TOLD
    assert over(plain, counts)[0] == "ahead"
    _, over = asked_at_once(lesson, "ml-1m", 256)
    says, _, words = over(ours, ("sim", ""))
    assert says == "level" and f" and {words}. With random vectors" in TOLD
    few = [over(plain, (name, "")) for name in ("stats-lr", "ease-lr")]
    assert [says for says, *_ in few] == ["ahead", "ahead"]
    assert f"with the plain input on MovieLens-1M ({few[0][1]} and {few[1][1]})" in TOLD


def test_what_is_said_of_bookcrossing_holds(lesson):
    cells = lesson.recorded().cells()

    def own(dataset: str, shots: int | str, system: str, variant: str = "") -> pd.DataFrame:
        found = cells[(cells["dataset"] == dataset) & (cells["shots"] == shots) & (cells["seed"] < 5)]
        return found[(found["system"] == system) & (found["variant"] == variant)]

    gaps = []
    for n in (256, 1024, 4096, "all"):
        ours = own("bookcrossing-explicit", n, "laser-crm")
        assert lesson.gap(ours, own("bookcrossing-explicit", n, "stats-lr"))["says"] == ("behind" if n == "all" else "level")
        if n == "all":
            deep = own("bookcrossing-explicit", n, "laser-crm", 'backbone_crm="deepfm"')
            tried = [ours, own("bookcrossing-explicit", n, "laser-crm", 'backbone_crm="dcnv2"')]
            assert all(deep["auc"].mean() > one["auc"].mean() for one in tried), "the best of the three by the test set"
            assert lesson.gap(deep, own("bookcrossing-explicit", n, "stats-lr"))["says"] == "level"
        for other in (own("bookcrossing-explicit", n, "sim"), own("bookcrossing-explicit", n, "laser-crm", 'vectors="random"')):
            gaps.append(found := lesson.gap(ours, other))
            assert (found["says"], found["seeds"]) == ("ahead", 5), (n, found)
    assert f"by {_short(min(found['gap'] for found in gaps), 3)} to {_short(max(found['gap'] for found in gaps), 3)} of AUC" in TOLD
    means = {
        words: [_short(own(dataset, "all", system, variant)[metric].mean(), 4) for metric in ("auc", "log_loss")]
        for words, dataset, system, variant in (
            ("ours", "bookcrossing-explicit", "laser-crm", ""),
            ("on DeepFM", "bookcrossing-explicit", "laser-crm", 'backbone_crm="deepfm"'),
            ("counts", "bookcrossing-explicit", "stats-lr", ""),
            ("on DCNv2", "bookcrossing", "laser-crm", 'backbone_crm="dcnv2"'),
            ("DCNv2", "bookcrossing", "dcnv2", ""),
            ("LightGBM", "bookcrossing", "lightgbm", ""),
        )
    }
    assert (
        f"LLM+CRM {means['ours'][0]}, Stats-LR {means['counts'][0]}), but with DeepFM as its backbone level again ({means['on DeepFM'][0]};"
        in TOLD
    )
    assert (
        f"an AUC of {means['on DCNv2'][0]} and a log loss of {means['on DCNv2'][1]} (DCNv2 {means['DCNv2'][0]} and {means['DCNv2'][1]}"
        in TOLD
    )
    assert f"LightGBM on counts {means['LightGBM'][0]} and {means['LightGBM'][1]}" in TOLD


def _short(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def test_what_is_said_of_the_language_model_alone_holds(lesson):
    """Ahead and level: whether the paired interval over seeds and test users leaves out zero."""
    cells = lesson.recorded().cells()

    def beside(dataset: str, test_rows: int, n: int, variant: str, other: str | None = None) -> dict[str, float | str]:
        """The gap to another variant, else to History-LR."""
        own = cells[(cells["dataset"] == dataset) & (cells["test_rows"] == test_rows) & (cells["train_rows"] == n) & (cells["seed"] < 3)]
        counted = own[own["system"] == "laser-llm-counted"]
        reference = own[own["system"] == "history-lr"] if other is None else counted[counted["variant"] == other]
        found = lesson.gap(counted[counted["variant"] == variant], reference)
        assert found["seeds"] == 3
        return found

    def says(dataset: str, test_rows: int, n: int, variant: str) -> str:
        return beside(dataset, test_rows, n, variant)["says"]

    for n in (256, 1024):
        assert says("movielens-small", 6_164, n, "") == says("movielens-small", 6_164, n, "statistics=true") == "ahead"
    assert says("movielens-small", 6_164, 64, "") == says("movielens-small", 6_164, 64, "statistics=true") == "level"
    for n in (64, 256, 1024):
        assert says("ml-1m", 2_000, n, "block=1") == says("ml-1m", 2_000, n, "block=1, nearby=0.1") == "level"
        for variant in ("block=1, statistics=true", "block=1, statistics=true, nearby=0.1"):
            assert says("ml-1m", 2_000, n, variant) == "ahead"
    for n in (64, 256, 1024):
        for plain in ("", "statistics=true"):
            for dataset, test_rows, before in (("ml-1m", 2_000, ["block=1"]), ("movielens-small", 6_164, [])):
                without, near = (", ".join([*before, *filter(None, [plain, more])]) for more in ("", "nearby=0.1"))
                found = beside(dataset, test_rows, n, near, without)
                assert found["gap"] > 0
                if (dataset, n) in (("ml-1m", 64), ("movielens-small", 256), ("movielens-small", 1024)):
                    assert found["says"] == "ahead"
    for n in (64, 256, 1024):
        for plain in ("", "statistics=true"):
            found = beside("movielens-small", 6_164, n, ", ".join(filter(None, ['titles="anonymous"', plain])), plain)
            assert -0.0095 < found["gap"] < -0.0025 and found["says"] == ("behind" if n == 1024 else "level")
        assert says("movielens-small", 6_164, n, 'titles="anonymous", statistics=true') == ("level" if n == 64 else "ahead")
        for more in ("", ", statistics=true", ", nearby=0.1", ", statistics=true, nearby=0.1"):
            found = beside("ml-1m", 2_000, n, f"block=1, retrieval=true{more}", f"block=1{more}")
            assert found["gap"] > 0 and (found["says"] == "ahead" or n == 1024 or more)
            plain = more.removeprefix(", ")
            found = beside("movielens-small", 6_164, n, f"retrieval=true{more}", plain)
            assert found["says"] == "level"
    for n in (16, 64, 256, 1024):
        assert (
            says("bookcrossing", 1_772, n, "block=1") == "behind" and says("bookcrossing", 1_772, n, "block=1, statistics=true") == "level"
        )
    for n, words, by in ((64, "ahead", ".020"), (256, "ahead", ".017"), (1024, "level", ".013")):
        assert says("bookcrossing-explicit", 1_079, n, "block=1") == "level"
        found = beside("bookcrossing-explicit", 1_079, n, "block=1, statistics=true, nearby=0.1")
        assert (found["says"], _short(found["gap"], 3)) == (words, by)
    for dataset, test_rows, block in (("movielens-small", 6_164, ""), ("ml-1m", 2_000, "block=1, ")):  # no more labels than N
        assert says(dataset, test_rows, 1024, f'{block}targets="shots"') == ("level" if dataset == "movielens-small" else "behind")
    [untuned] = cells[(cells["system"] == "laser-llm-counted") & (cells["dataset"] == "ml-1m") & (cells["shots"] == 0)]["auc"]
    assert f"{untuned:.2f}" == "0.68"
    one = cells[
        cells["system"].isin(["laser-llm", "laser-llm-retrieval"]) & cells["variant"].str.contains("readout") & (cells["shots"] == 256)
    ]
    assert one.groupby("dataset").size().to_dict() == {"movielens-small": 6, "ml-1m": 6, "bookcrossing": 6}
    assert one["auc"].max() < 0.58


def test_what_is_said_of_small_encoders_holds(lesson):
    for dataset in ("movielens-small", "ml-1m", "bookcrossing"):
        table, _ = lesson.beside(dataset, ["plm"])
        assert {16, 64, 256, 1024} <= set(table["N"]) and set(table["says"]) <= {"level", "behind"}
        assert {"CTR-BERT", "PTab", "P5 (no pretraining)"} <= set(table["system"])
    cells = lesson.recorded().cells()
    at = cells[(cells["dataset"] == "ml-1m") & (cells["shots"] == 1024) & (cells["test_rows"] == 2_000) & (cells["variant"] == "")]
    at = at[at["seed"] < 3].groupby("system")["auc"].agg(["mean", "count"])
    assert [_short(at["mean"][name], 3) for name in ("ctr-bert", "ptab", "p5-scratch", "history-lr")] == [".717", ".710", ".712", ".739"]
    assert (at["count"] == 3).all()
    fits = cells[cells["system"].isin(["ctr-bert", "ptab"])]
    fits = fits.assign(valid=[min(check["valid_log_loss"] for check in lesson.recorded().read(key)["curve"]) for key in fits["key"]])
    pairs = fits.pivot(index=["dataset", "system", "shots", "seed", "test_rows"], columns="variant", values=["valid", "auc"]).dropna()
    usual, larger = "", "learning_rate=0.0002"
    assert len(pairs) >= 16 and (pairs["valid"][usual] < pairs["valid"][larger]).all()
    assert (pairs["auc"][usual] > pairs["auc"][larger]).nunique() == 2


@pytest.mark.parametrize(("dataset", "kept", "whole"), [("small", (10, 12), 30), ("ml_1m", (9, 11), 30), ("bookcrossing", (8, 9), 22)])
def test_what_is_said_of_the_history_that_small_encoders_read_holds(request, dataset, kept, whole):
    """Counted by the tokens that the reader returns with fewer and fewer ratings to read."""
    from laser_core.errors import MissingError
    from laser_core.lm.texts import Reader, Text
    from laser_core.systems import create

    data = request.getfixturevalue(dataset)
    try:
        reader = Reader("minilm-l6", 128)
    except MissingError as error:
        pytest.skip(str(error))
    means = []
    for system in map(create, ("ctr-bert", "ptab")):
        texts = [system.texts(data, int(row))[0] for row in data.test[:: max(1, len(data.test) // 1000)]]
        wanted = [len(text.history) for text in texts]
        read = []
        for text in texts:
            full = len(reader.tokens(text))
            read.append(next(n for n in range(len(text.history) + 1) if len(reader.tokens(Text(text.opening, text.history[:n]))) == full))
        assert round(sum(wanted) / len(wanted)) == whole
        means.append(round(sum(read) / len(read)))
    assert sorted(means) == sorted(kept)


def test_what_is_said_of_routing_holds(lesson):
    """No share of samples is worth more than as many by lot; asking for all of them is ahead, and the gain grows with the share."""
    from laser_core.study.routing import routing

    store, cells = lesson.recorded(), lesson.recorded().cells()
    cells = cells[(cells["dataset"] == "movielens-small") & (cells["test_rows"] == 6_164) & (cells["seed"] < 3)]
    for n in (256, 1024):
        own = cells[cells["train_rows"] == n]
        dear = own[(own["system"] == "laser-llm-counted") & (own["variant"] == "statistics=true, nearby=0.1")]
        for system in ("sim", "deepfm"):
            table = routing(store.predictions, own[(own["system"] == system) & (own["variant"] == "")], dear)
            assert (table["seeds"] == 3).all() and (table["lot_low"] <= 0).all() and table["low"].iloc[-1] > 0
            in_proportion = table["share"] * table["gap"].iloc[-1]
            assert (table["gap"] - in_proportion).abs().max() < 0.006


def test_what_is_said_of_memory_holds():
    record = json.loads((PROJECT / "results" / "bench" / "memory.json").read_text(encoding="utf-8"))["parts"]
    assert {part.split()[0] for part in record} == {"movielens-small", "ml-1m", "bookcrossing"}
    found = {(part.split()[0], one["case"]): one for part, its in record.items() for one in its["measurements"]}
    assert {one["pairs"] for one in found.values()} == {200}
    heart = [one for (_, case), one in found.items() if case != "knowledge"]
    assert all(one["low"] < 0.5 < one["high"] for one in heart)
    assert {f"{100 * end(one['median'] for one in heart):.0f}" for end in (min, max)} == {"47", "54"}
    known = {dataset: one for (dataset, case), one in found.items() if case == "knowledge"}
    assert all(one["low"] > 0.5 for one in known.values())
    assert [f"{100 * known[dataset]['median']:.0f}" for dataset in ("ml-1m", "movielens-small", "bookcrossing")] == ["68", "71", "57"]


def test_what_is_said_to_be_missing_is_missing_and_no_more(lesson):
    """Subsets on record of what is slow: of the language model alone its usual form."""
    cells = lesson.cells()
    cells = cells[cells["variant"].isin(["", "block=1"]) & cells["system"].isin(["laser-llm-counted", "ctr-bert", "ptab", "p5-scratch"])]
    subsets = cells.groupby(["system", "dataset", "shots"])["seed"].nunique()

    def of(system: str, n: int) -> dict[str, int]:
        return {dataset: int(subsets.get((system, dataset, n), 0)) for dataset in ("movielens-small", "ml-1m", "bookcrossing")}

    assert of("laser-llm-counted", 4096) == {"movielens-small": 2, "ml-1m": 2, "bookcrossing": 0}
    assert of("p5-scratch", 4096) == {"movielens-small": 1, "ml-1m": 1, "bookcrossing": 1}
    assert of("ctr-bert", 4096) == {"movielens-small": 0, "ml-1m": 1, "bookcrossing": 0}
    assert set(of("ptab", 4096).values()) == {0}
    for n in (16, 64, 256, 1024):
        assert of("p5-scratch", n) == of("laser-llm-counted", n) == {"movielens-small": 3, "ml-1m": 3, "bookcrossing": 3}
        assert of("ctr-bert", n) == {"movielens-small": 2, "ml-1m": 3, "bookcrossing": 3}
        assert of("ptab", n) == {"movielens-small": 3 if n < 256 else 2, "ml-1m": 3, "bookcrossing": 3}
