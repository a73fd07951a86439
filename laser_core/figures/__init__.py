"""Every figure of the kit as `function(table, ...) -> plotly Figure`: notebooks, dashboard and reports draw with these and nothing else.

One colour, marker and line style a system, the same everywhere (`look`). Each figure carries its scale (data set, N, seeds, test rows) as a
line of text, so that a picture which leaves the page still says what it shows.
"""

from laser_core.figures.contrasts import (
    Scored,
    calibration,
    calibration_table,
    gaps,
    roc,
    roc_table,
    routing,
    score_distribution,
    slices,
    user_gains,
    verdicts,
    within_users,
)
from laser_core.figures.costs import pareto
from laser_core.figures.curves import X_AXES, comparison, multipliers, sample_efficiency
from laser_core.figures.frame import apart, empty, enlarge, finish
from laser_core.figures.look import INK, NEGATIVE, POSITIVE, Style, style, system_label
from laser_core.figures.tables import bars, fit_curve, text_map
from laser_core.figures.users import candidates, effects, history
from laser_core.figures.words import LONGEST, METRICS, SHOTS_NOTE, Metric, count, in_lines, number, plain, scale_note

__all__ = [
    "INK", "LONGEST", "METRICS", "NEGATIVE", "POSITIVE", "SHOTS_NOTE", "X_AXES", "Metric", "Scored", "Style", "apart", "bars",
    "calibration", "calibration_table", "candidates", "comparison", "count", "effects", "empty", "enlarge", "finish", "fit_curve",
    "gaps", "history", "in_lines", "multipliers", "number", "pareto", "plain", "roc", "roc_table", "routing", "sample_efficiency",
    "scale_note", "score_distribution", "slices", "style", "system_label", "text_map", "user_gains", "verdicts", "within_users",
]  # fmt: skip
