"""What the notebooks share: how much to do, the recorded results, and the profile on every figure."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from laser_core import figures
from laser_core.settings import get_settings
from laser_core.study import learning_curves
from laser_core.study.store import ResultStore
from laser_core.study.summary import mean_error, student, summarise, widest
from laser_core.systems import SYSTEMS

Value = TypeVar("Value")

pd.set_option("display.max_colwidth", None)  # systems whose options differ at the end of the name are told apart


def profile() -> str:
    """How much the notebooks do now: smoke, demo or full (LASER_PROFILE)."""
    return get_settings().profile


def pick(smoke: Value, demo: Value, full: Value | None = None) -> Value:
    """The value that goes with the profile; full takes demo's where it has none of its own."""
    return {"smoke": smoke, "demo": demo, "full": demo if full is None else full}[profile()]


def show(figure: go.Figure, profile: str | None = None) -> go.Figure:
    """The figure with the profile as its last line, so that a picture which leaves the page says how much was done for it.

    Args:
        profile: Of what the figure shows: "recorded" for results that came with the kit; None: the profile now.
    """
    words = figure.layout.xaxis.title.text or ""
    line = f"<span style='font-size:12px'>profile: {profile or get_settings().profile}</span>"
    figure.update_xaxes(title_text=f"{words}<br>{line}" if words else line)
    return figure


def recorded() -> ResultStore:
    """The results that come with the kit, and those of your own runs: what a page calls *not run* is there once you have run it."""
    return ResultStore(get_settings().store, get_settings().recorded)


@cache
def cells() -> pd.DataFrame:
    """Every finished result of today's code and data, one row each."""
    table = recorded().cells()
    return table[(table["status"] == "done") & table["current"].astype(bool)].reset_index(drop=True)


def results(dataset: str) -> pd.DataFrame:
    """The recorded results of a data set as curves: one row a system, options and N on its largest test set, with intervals."""
    return widest(summarise(cells()[cells()["dataset"] == dataset]))


@cache
def draws(key: str) -> np.ndarray:
    """(draws,) the bootstrap of a recorded AUC over test users; equal draws of two results redrew equal users."""
    return learning_curves.auc_draws(recorded().read(key))


def gap(one: pd.DataFrame, other: pd.DataFrame, among: tuple[int, int] = (1, 1)) -> dict[str, float | str]:
    """How far the AUC of some recorded cells is above that of others: paired by seed and by draws over test users.

    It reads no rows of the data set, so it also compares where those are not passed on.

    Args:
        one: Cells of one system at one N.
        other: Cells of another one at the same N.
        among: How many systems each of the two was picked from as the best by these very AUCs: what luck it takes to be picked widens
            the interval (Bonferroni; the low end for those of `one`, the high end for those of `other`).

    Returns:
        gap, low and high of its 95 % interval over seeds and test users, seeds, and what it says: ahead, behind or level (the interval
        holds zero, which does not make the two equal); nothing where no two cells share seed and test rows. Of several sets of test rows
        the largest counts: one subset is one subset, however often it was scored.
    """
    both = one.merge(other, on=["dataset", "seed", "test_rows"])
    both = both[both["test_rows"] == both["test_rows"].max()]
    if both.empty:
        return {}
    values = (both["auc_x"] - both["auc_y"]).to_numpy()
    spread = np.array([np.std(draws(x) - draws(y)) for x, y in zip(both["key_x"], both["key_y"], strict=True)])
    return mean_gap(values, spread, among)


def in_words(found: dict[str, float | str]) -> str:
    """What `gap` found, in a line."""
    return "{gap:+.4f} [{low:+.4f}; {high:+.4f}], {says}".format(**found) if found else "not run"


def at_equal_labels(dataset: str, system: str, variant: str = "", reference: str = "history-lr") -> pd.DataFrame:
    """A recorded system beside a reference with as many *labels* as the system saw, on the same test rows and subsets.

    The reference's AUC lies on a straight line over log N between its two recorded N around that number, subset by subset. Where none as
    large is recorded its largest N stands for it: fewer labels than the system saw, so "ahead" says little there.

    Returns:
        A row an N: N, labels seen, the reference's labels, and the `gap`.
    """
    done = cells()[(cells()["dataset"] == dataset) & (cells()["train_rows"] > 0)]
    rest = done[(done["system"] == reference) & (done["variant"] == "")]
    own, rows = done[(done["system"] == system) & (done["variant"] == variant)], []
    for (n, size), at in own.groupby(["train_rows", "test_rows"]):
        seen, same = at["labels_seen"].mean(), rest[rest["test_rows"] == size]
        known = np.sort(same["train_rows"].unique())
        if not (known <= seen).any():
            continue
        low = known[known <= seen][-1]
        high = known[known > seen][0] if (known > seen).any() else low
        part = np.log(seen / low) / np.log(high / low) if high > low else 0.0
        below, above = (same.loc[same["train_rows"] == end, ["seed", "auc", "key"]] for end in (low, high))
        pairs = (
            at[["seed", "auc", "key"]]
            .merge(below, on="seed", suffixes=("", "_low"))
            .merge(above, on="seed", suffixes=("", "_high"))
        )
        if pairs.empty:
            continue
        values = pairs["auc"] - (1 - part) * pairs["auc_low"] - part * pairs["auc_high"]
        keys = pairs[["key", "key_low", "key_high"]].to_numpy()
        spread = [np.std(draws(one) - (1 - part) * draws(under) - part * draws(over)) for one, under, over in keys]
        labels = seen if high > low else low
        found = mean_gap(values.to_numpy(), np.array(spread))
        rows.append({"N": n, "labels seen": round(seen), "the reference's labels": round(labels), **found})
    return pd.DataFrame(rows)


def tell(words: str, table: pd.DataFrame) -> None:
    """Print at which N something is ahead, level or behind, a data set a line; of several sets of test rows at one N by the largest.

    Args:
        table: Columns data, N, test rows, says.
    """
    for data, at in table.groupby("data"):
        at = at.sort_values(["N", "test rows"]).drop_duplicates("N", keep="last")
        told = [f"{word} at N = {', '.join(f'{n:,}' for n in own['N'])}" for word, own in at.groupby("says")]
        print(f"{data}, {words}: {'; '.join(told)}")


def mean_gap(values: np.ndarray, errors: np.ndarray, among: tuple[int, int] = (1, 1)) -> dict[str, float | str]:
    """What paired gaps say together, as `gap` returns it.

    Args:
        values: A gap a seed.
        errors: The standard error of each over test users.
        among: As of `gap`.
    """
    mean, (error, freedom) = values.mean(), mean_error(values, errors)
    low, high = (
        mean + sign * error * student(1 - 0.025 / count, freedom) for sign, count in zip((-1, 1), among, strict=True)
    )
    says = "ahead" if low > 0 else "behind" if high < 0 else "level"
    return {"gap": mean, "low": low, "high": high, "seeds": len(values), "says": says}


def beside(dataset: str, families: list[str], reference: str = "history-lr") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Recorded systems beside a reference that saw the same labels and was asked about the same test rows.

    Args:
        families: Of the systems, such as ["llm"].

    Returns:
        A table, a row a system, options, N and number of test rows: AUC with its 95 % interval, and the `gap` to the reference at the
        same N, seeds and test rows. And the points of all of them as a figure takes them (`summarise`). Both empty where nothing is
        recorded.
    """
    done = cells()[cells()["dataset"] == dataset]
    own = done[done["system"].isin([name for name, system in SYSTEMS.items() if system.family in families])]
    others = done[(done["system"] == reference) & done["test_rows"].isin(own["test_rows"])]
    lines = []
    for (system, variant, n, size), one in own.groupby(["system", "variant", "train_rows", "test_rows"]):
        point = summarise(one).iloc[0]
        found = gap(one, others[(others["train_rows"] == n) & (others["test_rows"] == size)])
        line = {"system": figures.system_label(system, variant), "N": n, "labels seen": point["labels_seen"]}
        line |= {"AUC": f"{point['auc']:.3f} [{point['auc_low']:.3f}; {point['auc_high']:.3f}]", **found}
        lines.append({**line, "test rows": size})
    return pd.DataFrame(lines).round(3), summarise(pd.concat([own, others]) if lines else own)
