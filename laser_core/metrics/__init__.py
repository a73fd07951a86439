"""Ranking and probability metrics, intervals, tests of significance, sample efficiency."""

from laser_core.metrics.bootstrap import (
    Interval,
    bootstrap_auc,
    evaluate_with_draws,
    percentile_interval,
    seed_and_user_draws,
)
from laser_core.metrics.efficiency import Curve, area_under_curve, data_multiplier, match_point
from laser_core.metrics.ranking import (
    Reliability,
    accuracy,
    auc,
    calibration_error,
    check_probabilities,
    evaluate,
    evaluate_without_auc,
    gauc,
    log_loss,
    pairs_within_users,
    relative_improvement,
    reliability,
)
from laser_core.metrics.significance import DeLong, delong, holm

__all__ = [
    "Curve",
    "DeLong",
    "Interval",
    "Reliability",
    "accuracy",
    "area_under_curve",
    "auc",
    "bootstrap_auc",
    "calibration_error",
    "check_probabilities",
    "data_multiplier",
    "delong",
    "evaluate",
    "evaluate_with_draws",
    "evaluate_without_auc",
    "gauc",
    "holm",
    "log_loss",
    "match_point",
    "pairs_within_users",
    "percentile_interval",
    "relative_improvement",
    "reliability",
    "seed_and_user_draws",
]
