from __future__ import annotations

import json

import pandas as pd
import pytest

from laser_core.study import paper
from laser_core.study.beside import beside, verdicts
from laser_core.study.summary import summarise
from laser_core.systems import SYSTEMS, create


def cell(system, auc, shots="all", train_rows=1000, variant="", options=None, **more):
    return {
        "dataset": "ml-1m", "system": system, "variant": variant, "shots": shots, "train_rows": train_rows, "test_rows": 97_002, "seed": 0,
        "status": "done", "auc": auc, "auc_low": auc - 0.01, "auc_high": auc + 0.01, "log_loss": 0.5, "log_loss_low": 0.49,
        "log_loss_high": 0.51, "accuracy": 0.7, "ece": 0.01, "labels_seen": 1, "parameters": 1, "fit_seconds": 1.0,
        "predict_seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_mb": 1.0, "revision": 1, "data_version": "1", "current": True,
        "options": json.dumps(options or {}), "key": f"{system}{variant}{shots}", **more,
    }  # fmt: skip


def side_by_side(number, *rows):
    cells = pd.DataFrame(rows)
    return beside(number, "ml-1m", cells, summarise(cells))


def test_every_row_of_the_paper_is_there_and_ours_beside_it():
    table = side_by_side(
        1, cell("din", 0.79), cell("din", 0.7, 64, 64), cell("din", 0.81, variant="statistics=true"), cell("history-lr", 0.75)
    )
    assert set(paper.table_1()["row"]) <= set(table["row"])
    assert (table["ours"] == "").sum() == len(paper.table_1()) / 2 - 1
    ran = table[table["ours"] != ""].set_index("ours")
    assert ran["auc"].to_dict() == {"DIN": 0.79, "DIN (statistics)": 0.81, "History-LR": 0.75}  # each at its largest N
    assert ran["auc_paper"].fillna(0).to_dict() == {"DIN": 0.7962, "DIN (statistics)": 0.7962, "History-LR": 0}
    (said,) = verdicts(1, table)
    assert said.startswith("Of 2 results")
    assert said.endswith("1 have its AUC inside their interval, 1 lie above it and 0 below.")
    assert verdicts(1, side_by_side(1, cell("history-lr", 0.75))) == []


def test_only_results_as_large_as_the_papers_count_for_its_rows():
    """PROTOCOL, sections 3 and 5: 97,002 test samples; all labels, but 65,536 of the language model alone."""
    table = side_by_side(
        1,
        cell("laser-crm", 0.8),
        cell("laser-crm", 0.78, variant='vectors="random"'),
        cell("laser-llm-retrieval", 0.8, 65_536, 65_536),
        cell("laser-llm-retrieval", 0.7, 0, 0, variant="epochs=0"),
        cell("ctr-bert", 0.72, 1024, 1024),
        cell("ptab", 0.72, test_rows=2000),
        cell("sim", 0.74, 65_536, 65_536),
    )
    ran = table[table["ours"] != ""]
    assert set(ran[ran["counts"].astype(bool)]["system"]) == {"laser-crm", "laser-llm-retrieval"}
    assert verdicts(1, table)[0].endswith("Laser, LLM+CRM had half of the training samples (not certain) there, ours all.")
    assert len(ran) == 7, "the others are shown, with N and test rows"
    (control,) = ran[ran["variant"] == 'vectors="random"'].to_dict("records")
    assert control["row"] == "" and pd.isna(control["auc_paper"])
    assert verdicts(1, table)[0].startswith("Of 2 results with the labels and the test samples")
    assert verdicts(1, table[table["system"] == "ctr-bert"]) == []


def test_a_control_is_no_language_model_of_table_3():
    table = side_by_side(3, cell("laser-crm", 0.8, variant='vectors="words"', options={"encoder": "vicuna-7b"}))
    assert table[table["ours"] != ""][["row", "backbone"]].to_numpy().tolist() == [["", ""]]


def test_seconds_are_a_predictions():
    table = side_by_side(2, cell("sim", 0.79, test_rows=500), cell("dcnv2", 0.79, predict_seconds=1.0, predict_tokens=5000, test_rows=500))
    ran = table[table["ours"] != ""].set_index("row")
    assert ran["seconds"].to_dict() == {"SIM": 2 / 500, "DCNv2": 1 / 500}
    assert ran["tokens"]["DCNv2"] == 10
    assert ran["seconds_paper"]["SIM"] == 2.07e-4
    assert verdicts(2, table) == ["A prediction of DCNv2 takes 0.5 times as long as one of SIM (paper: 0.797 times)."]


def test_language_models_stand_on_their_own_row():
    table = side_by_side(
        3,
        cell("sim", 0.79),
        cell("laser-llm-retrieval", 0.8, options={"backbone": "vicuna-7b"}),
        cell("laser-crm", 0.8, options={"encoder": "minilm-l6"}),
    ).set_index(["row", "backbone"])
    assert table.loc[("Laser, LLM only", "Vicuna-7B"), "ours"] == "Laser, LLM only (retrieval)"
    assert table.loc[("Laser, LLM only", "Mistral-7B"), "ours"] == ""
    assert table.loc[("Laser, LLM+CRM", "MiniLM-L6"), "auc"] == 0.8
    assert pd.isna(table.loc[("Laser, LLM+CRM", "MiniLM-L6"), "auc_paper"])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_data_the_paper_does_not_have_gives_nothing(number):
    cells = pd.DataFrame([cell("sim", 0.79, dataset="movielens-small")])
    assert beside(number, "movielens-small", cells, summarise(cells)).empty


def test_the_papers_language_model_alone_retrieves():
    """Its Table 1 has retrieval on; what it has without is printed elsewhere (`matched`)."""
    assert [name for name, system in SYSTEMS.items() if system.paper_row == "Laser, LLM only"] == ["laser-llm-retrieval"]
    assert create("laser-llm-retrieval").options.retrieval is True
