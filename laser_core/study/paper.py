"""The paper's own figures, typed from it, so that ours can stand beside them.

Laser: "Large Language Models Make Sample-Efficient Recommender Systems", Frontiers of Computer Science, doi 10.1007/s11704-024-40039-z.
`MATCHED` comes from the same group's ReLLa (arXiv 2308.11131), which prints AUC at fixed numbers of training samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

BEST = "Laser, LLM only"
"""the row that Table 1's relative improvements refer to"""

TEST_ROWS = {"ml-1m": 97_002, "bookcrossing": 1_772}
"""test samples behind its tables: the whole test split"""

LLM_ONLY_ROWS = {"ml-1m": 65_536, "bookcrossing": 1_024}
"""training samples of `BEST` in them, by the same group's other papers"""

HALF = "Laser, LLM+CRM"
"""the row that had half of the training samples, if the paper is read rightly; all others are taken to have had all"""

_TABLE_1 = """
DeepFM            .7496 .5953  .7915 .5484
AutoInt           .7481 .6840  .7929 .5453
DCNv2             .7472 .6816  .7931 .5464
GRU4Rec           .7479 .5930  .7926 .5453
Caser             .7478 .5990  .7918 .5464
SASRec            .7482 .5934  .7934 .5460
DIN               .7477 .6811  .7962 .5425
SIM               .7541 .5893  .7992 .5387
CTR-BERT          .7448 .5938  .7931 .5457
PTab              .7429 .6154  .7955 .5428
P5                .7438 .6128  .7937 .5478
Laser, LLM only   .7575 .5919  .8033 .5362
Laser, LLM+CRM    .7508 .5848  .7996 .5375
"""

_TABLE_2 = {  # seconds a sample; batch and hardware are not stated
    "bookcrossing": {"DCNv2": 2.34e-4, "SIM": 2.45e-4, "PTab": 5.23e-3, "Laser, LLM only": 7.89e-1, "Laser, LLM+CRM": 2.77e-4},
    "ml-1m": {"DCNv2": 1.65e-4, "SIM": 2.07e-4, "PTab": 3.95e-3, "Laser, LLM only": 7.42e-1, "Laser, LLM+CRM": 2.34e-4},
}

_TABLE_3 = [  # MovieLens-1M: row, language model, AUC, log loss
    ("SIM", "", 0.7992, 0.5387),
    ("Laser, LLM only", "Mistral-7B", 0.8005, 0.5388),
    ("Laser, LLM only", "Vicuna-7B", 0.8016, 0.5365),
    ("Laser, LLM only", "Vicuna-13B", 0.8033, 0.5362),
    ("Laser, LLM+CRM", "Mistral-7B", 0.7990, 0.5385),
    ("Laser, LLM+CRM", "Vicuna-7B", 0.7997, 0.5372),
    ("Laser, LLM+CRM", "Vicuna-13B", 0.7996, 0.5375),
]

_MATCHED = [  # dataset, row, training samples, AUC
    ("ml-1m", "SIM", 8_192, 0.7352),
    ("ml-1m", "SIM", 65_536, 0.7414),
    ("ml-1m", "SIM", "all", 0.7992),
    ("ml-1m", "Laser, LLM only", 8_192, 0.7927),
    ("ml-1m", "Laser, LLM only", 65_536, 0.8033),
    ("ml-1m", "Laser, LLM only, no retrieval", 8_192, 0.7718),
    ("ml-1m", "Laser, LLM only, no retrieval", 65_536, 0.8006),
    ("ml-1m", "Vicuna-13B, untuned", 0, 0.6993),
    ("bookcrossing", "Vicuna-13B, untuned", 0, 0.7176),
]


def fitted_on(row: str, dataset: str) -> str:
    """On how many samples a row of the tables was fitted, in words: "all training samples"."""
    if row == BEST and dataset in LLM_ONLY_ROWS:
        return f"{LLM_ONLY_ROWS[dataset]:,} training samples (not certain)"
    return "half of the training samples (not certain)" if row == HALF else "all training samples"


def table_1() -> pd.DataFrame:
    """Overall performance: columns dataset, row, auc, log_loss, rel_impr (of `BEST` over the row)."""
    import pandas as pd

    from laser_core.metrics import relative_improvement

    records = []
    for line in _TABLE_1.strip().splitlines():
        row, *values = line.rsplit(maxsplit=4)
        numbers = [float(value) for value in values]
        records += [("bookcrossing", row, *numbers[:2]), ("ml-1m", row, *numbers[2:])]
    table = pd.DataFrame(records, columns=["dataset", "row", "auc", "log_loss"])
    best = table[table["row"] == BEST].set_index("dataset")["auc"]
    table["rel_impr"] = relative_improvement(table["dataset"].map(best), table["auc"])
    return table


def table_2() -> pd.DataFrame:
    """Inference time: columns dataset, row, seconds (a sample)."""
    import pandas as pd

    records = [(dataset, row, seconds) for dataset, rows in _TABLE_2.items() for row, seconds in rows.items()]
    return pd.DataFrame(records, columns=["dataset", "row", "seconds"])


def table_3() -> pd.DataFrame:
    """Compatibility with other language models, on MovieLens-1M: columns dataset, row, backbone, auc, log_loss."""
    import pandas as pd

    table = pd.DataFrame(_TABLE_3, columns=["row", "backbone", "auc", "log_loss"])
    table.insert(0, "dataset", "ml-1m")
    return table


def matched() -> pd.DataFrame:
    """AUC at a number of training samples, from ReLLa: columns dataset, row, shots, auc."""
    import pandas as pd

    return pd.DataFrame(_MATCHED, columns=["dataset", "row", "shots", "auc"])
