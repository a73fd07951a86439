"""Routing: a cheap system answers, and where it is unsure a dear one, say a language model. From stored predictions; nothing is fitted.

Of some samples those whose probability by the cheap system lies nearest to one half go to the dear one, whose probability then stands. The
choice reads no label and none of the dear system's answers, so it could be made while serving.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from laser_core.errors import UserError
from laser_core.metrics import auc, delong, log_loss
from laser_core.study.contrast import paired
from laser_core.study.summary import half_width

if TYPE_CHECKING:
    import pandas as pd

    from laser_core.study.contrast import Read

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
_DRAWS = 5  # of samples taken by lot


def routed(cheap: np.ndarray, dear: np.ndarray, share: float) -> np.ndarray:
    """(rows,) the dear system's probabilities for the given share of samples, those the cheap one is least sure of; the cheap one's else.

    Of equally unsure samples the earlier ones go first.
    """
    asked = np.argsort(np.abs(cheap - 0.5), kind="stable")[: round(share * len(cheap))]
    mixed = cheap.copy()
    mixed[asked] = dear[asked]
    return mixed


def routing(read: Read, cheap: pd.DataFrame, dear: pd.DataFrame, shares: Sequence[float] = SHARES) -> pd.DataFrame:
    """What each share of samples that a dear system answers is worth, beside the same share taken by lot.

    Args:
        read: Gives a result's predictions by its key (`ResultStore.predictions`).
        cheap: Finished cells of one system, one a seed.
        dear: Those of another; only seeds of both count, on the samples that both were scored on.

    Returns:
        A row a share: share, auc, log_loss (means over seeds), gap (AUC minus that of the cheap system alone) with low and high, its paired
        95 % interval over seeds and test users; lot (AUC minus that where as many samples go to the dear system by lot) with lot_low and
        lot_high; seeds, test_rows.

    Raises:
        UserError: They have no seed in common, or no sample.
    """
    import pandas as pd

    pairs = cheap.merge(dear, on="seed", suffixes=("_1", "_2"))
    if pairs.empty:
        raise UserError("the two systems have no seed in common: choose another pair")
    found = []
    for one, other in zip(pairs["key_1"], pairs["key_2"], strict=True):
        _, users, labels, first, second = paired(read(one), read(other))
        if len(labels) == 0:
            raise UserError("the two systems answered no test sample in common: choose another pair")
        lots = [np.random.default_rng(draw).permutation(len(labels)) for draw in range(_DRAWS)]
        for share in shares:
            mixed, number = routed(first, second, share), round(share * len(labels))
            gap = delong(labels, mixed, first, users)
            by_lot = [delong(labels, mixed, np.where(place < number, second, first), users) for place in lots]
            # the mean over lots varies less than one of them: this error is rather too large
            lot, lot_error = np.mean([(test.difference, test.standard_error) for test in by_lot], axis=0)
            quality = auc(labels, mixed), log_loss(labels, mixed)
            found.append((share, *quality, gap.difference, gap.standard_error, lot, lot_error, len(labels)))
    table = pd.DataFrame(found, columns=["share", "auc", "log_loss", "gap", "gap_error", "lot", "lot_error", "test_rows"])
    rows = []
    for share, own in table.groupby("share"):
        row = {"share": share, **own[["auc", "log_loss", "gap", "lot"]].mean()}
        for name, low, high in (("gap", "low", "high"), ("lot", "lot_low", "lot_high")):
            half = half_width(own[name].to_numpy(), own[f"{name}_error"].to_numpy())
            row |= {low: row[name] - half, high: row[name] + half}
        rows.append({**row, "seeds": len(own), "test_rows": int(own["test_rows"].min())})
    return pd.DataFrame(rows)
