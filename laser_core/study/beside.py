"""The paper's tables with our results beside them: one row for each of the paper's, and one for each of ours that the paper lacks."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from laser_core import figures
from laser_core.datasets.dataset import ALL
from laser_core.lm.backbones import BACKBONES
from laser_core.study import contrast, paper
from laser_core.systems import SYSTEMS

BACKBONE_OPTION = {"llm": "backbone", "plm": "backbone", "llm+crm": "encoder"}
"""which option of a family's systems names its language model"""


def beside(table: int, dataset: str, cells: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """One table of the paper, for one data set, beside ours.

    Args:
        table: 1 (quality), 2 (inference time) or 3 (quality with several language models).
        cells: Finished cells, as `ResultStore.cells` gives them.
        points: The same summed up by `summarise`. Of a system's several N the largest counts.

    Returns:
        Columns row (the paper's name, "" if it has none), backbone, ours (our name, "" where nothing has run); the paper's values as
        auc_paper, log_loss_paper, seconds_paper; and of ours those of `summarise`, `seconds` (a prediction), `tokens` (a prediction, if
        known) and `counts`: whether it had as many labels and test samples as the paper's row. Controls stand for no row of the paper.
        Empty where the paper says nothing of the data set.
    """
    theirs = {1: paper.table_1, 2: paper.table_2, 3: paper.table_3}[table]().query("dataset == @dataset").drop(columns="dataset")
    if theirs.empty:
        return pd.DataFrame()
    theirs = theirs.assign(backbone=theirs.get("backbone", ""))
    names = {name: f"{name}_paper" for name in ("auc", "log_loss", "seconds") if name in theirs}
    theirs = theirs.rename(columns=names)[["row", "backbone", *names.values()]]
    ours = pd.DataFrame([_own(point, cells, table) for point in _last(points[points["dataset"] == dataset])])
    if ours.empty:
        return theirs.assign(ours="", counts=False)
    known = pd.MultiIndex.from_frame(ours[["row", "backbone"]]).isin(pd.MultiIndex.from_frame(theirs[["row", "backbone"]]))
    both = theirs.merge(ours[known], on=["row", "backbone"], how="left")
    return pd.concat([both, ours[~known]], ignore_index=True).fillna({"ours": "", "counts": False})


def _last(points: pd.DataFrame) -> list[dict[str, Any]]:
    """Each system at the largest N that it has."""
    own = points.groupby(["system", "variant"])["train_rows"].transform("max")
    return points[points["train_rows"] == own].to_dict("records")


def _own(point: dict[str, Any], cells: pd.DataFrame, table: int) -> dict[str, Any]:
    """One of our points, with the names under which it stands in the paper's table."""
    entry = SYSTEMS.get(point["system"])
    mine = cells[(cells["key"].notna()) & (cells[list(_SAME)] == [point[name] for name in _SAME]).all(axis=1)]
    options = json.loads(mine["options"].iloc[0])
    model = options.get(BACKBONE_OPTION.get(entry.family, ""), "") if entry else ""
    tokens = (mine["predict_tokens"] / mine["test_rows"]).mean() if "predict_tokens" in mine else float("nan")
    control = contrast.is_control(point["system"], point["variant"])
    row = (entry.paper_row or "") if entry and not control else ""
    return {
        **point,
        "row": row,
        "backbone": (BACKBONES[model].label if model in BACKBONES else model) if table == 3 and not control else "",
        "ours": figures.system_label(point["system"], point["variant"]),
        "seconds": point["predict_seconds"] / point["test_rows"],
        "tokens": tokens,
        "counts": bool(row) and _as_in_the_paper(point, row),
    }


def _as_in_the_paper(point: dict[str, Any], row: str) -> bool:
    """Whether a point had all labels, or those of the paper's row, and was asked about the whole test split."""
    alike = point["shots"] == ALL or (row == paper.BEST and point["train_rows"] == paper.LLM_ONLY_ROWS.get(point["dataset"]))
    return alike and point["test_rows"] == paper.TEST_ROWS.get(point["dataset"])


_SAME = ("dataset", "system", "variant", "train_rows", "test_rows")


def verdicts(table: int, found: pd.DataFrame) -> list[str]:
    """What the intervals say of the paper's values, a sentence a line."""
    ran = found[found["ours"] != ""]
    if table == 2:
        return _times_of_sim(ran)
    ran = ran[ran["counts"].astype(bool) & ran["auc_paper"].notna()]
    if ran.empty:
        return []
    half = f" {paper.HALF} had {paper.fitted_on(paper.HALF, '')} there, ours all." if paper.HALF in set(ran["row"]) else ""
    above, below = (ran["auc_low"] > ran["auc_paper"]).sum(), (ran["auc_high"] < ran["auc_paper"]).sum()
    return [
        f"Of {len(ran)} results with the labels and the test samples of a row of the paper's Table {table}, "
        f"{len(ran) - above - below} have its AUC inside their interval, {above} lie above it and {below} below.{half}"
    ]


def _times_of_sim(ran: pd.DataFrame) -> list[str]:
    """How many times as long as SIM a prediction takes, ours and the paper's."""
    base = ran[(ran["row"] == "SIM")]
    if base.empty:
        return []
    return [
        f"A prediction of {row.ours} takes {row.seconds / base['seconds'].min():,.3g} times as long as one of {base.iloc[0]['ours']}"
        f" (paper: {row.seconds_paper / base.iloc[0]['seconds_paper']:,.3g} times)."
        for row in ran[(ran["row"] != "SIM") & ran["seconds_paper"].notna()].itertuples()
    ]
