"""Every system by name: what it is, which row of the paper it stands for, and where its code is. Nothing heavy is imported here."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field
from typing import Any

from laser_core.errors import MissingError, UserError, unknown
from laser_core.recommender import Recommender


@dataclass(frozen=True)
class System:
    """One entry of the registry."""

    name: str
    label: str
    """as figures and tables call it"""
    family: str
    """reference, crm, plm, llm or llm+crm"""
    where: str
    """module:class"""
    revision: int = 1
    """raised when the same settings begin to give other predictions: results of different revisions are never mixed"""
    paper_row: str | None = None
    """the row of the paper's Table 1 it stands for"""
    needs: tuple[str, ...] = ()
    """packages beyond numpy, pandas and scikit-learn"""
    preset: dict[str, Any] = field(default_factory=dict)
    """options that make this entry differ from its class's defaults"""
    zero_shot: bool = False
    """it can answer without any labels (N = 0)"""
    apart: dict[str, str] = field(default_factory=dict)
    """options that this entry does not let go, since with another value it would be the system named here"""


_SYSTEMS = [
    System("popularity", "Item popularity", "reference", "laser_core.crm.reference:ItemPopularity"),
    System("history-lr", "History-LR", "reference", "laser_core.crm.reference:HistoryLR"),
    System("stats-lr", "Stats-LR", "reference", "laser_core.crm.reference:StatsLR"),
    System("lightgbm", "LightGBM", "reference", "laser_core.crm.boosted_trees:LightGBM", needs=("lightgbm",)),
    System("ease-lr", "Ease-LR", "reference", "laser_core.crm.ease:EaseLR"),
    System("ease-lightgbm", "Ease-LightGBM", "reference", "laser_core.crm.boosted_trees:EaseLightGBM", needs=("lightgbm",)),
    System("deepfm", "DeepFM", "crm", "laser_core.crm.deepfm:DeepFM", revision=2, paper_row="DeepFM", needs=("torch",)),
    System("autoint", "AutoInt", "crm", "laser_core.crm.autoint:AutoInt", revision=2, paper_row="AutoInt", needs=("torch",)),
    System("dcnv2", "DCNv2", "crm", "laser_core.crm.dcnv2:DCNv2", revision=2, paper_row="DCNv2", needs=("torch",)),
    System("gru4rec", "GRU4Rec", "crm", "laser_core.crm.gru4rec:GRU4Rec", revision=2, paper_row="GRU4Rec", needs=("torch",)),
    System("caser", "Caser", "crm", "laser_core.crm.caser:Caser", revision=2, paper_row="Caser", needs=("torch",)),
    System("sasrec", "SASRec", "crm", "laser_core.crm.sasrec:SASRec", revision=2, paper_row="SASRec", needs=("torch",)),
    System("din", "DIN", "crm", "laser_core.crm.din:DIN", revision=2, paper_row="DIN", needs=("torch",)),
    System("sim", "SIM", "crm", "laser_core.crm.sim:SIM", revision=2, paper_row="SIM", needs=("torch",)),
    # LLM+CRM without a language model: where these do as well, the words or the fields of its texts do it.
    System(
        "words-crm", "Words+CRM", "reference", "laser_core.knowledge.laser_crm:LaserCRM", needs=("torch", "transformers"),
        preset={"vectors": "words", "familiar": False}, apart={"vectors": "laser-crm", "familiar": "laser-crm"},
    ),
    System(
        "fields-crm", "Fields+CRM", "reference", "laser_core.knowledge.laser_crm:LaserCRM", needs=("torch", "transformers"),
        preset={"vectors": "fields", "familiar": False}, apart={"vectors": "laser-crm", "familiar": "laser-crm"},
    ),
    System(
        "ctr-bert", "CTR-BERT", "plm", "laser_core.lm.ctr_bert:CTRBERT", paper_row="CTR-BERT",
        needs=("torch", "transformers", "peft"), preset={"backbone": "minilm-l6", "least_steps": 120, "patience": 3},
    ),
    System(
        "ptab", "PTab", "plm", "laser_core.lm.ptab:PTab", paper_row="PTab",
        needs=("torch", "transformers", "peft"), preset={"backbone": "minilm-l6", "least_steps": 120, "patience": 3},
    ),
    System(
        "p5", "P5", "plm", "laser_core.lm.p5:P5", paper_row="P5",
        needs=("torch", "transformers", "peft"), preset={"backbone": "t5-base"}, apart={"pretrained": "p5-scratch"},
    ),
    System(
        "p5-scratch", "P5 (no pretraining)", "plm", "laser_core.lm.p5:P5",
        needs=("torch", "transformers", "peft"),
        # No weights, only MiniLM's tokenizer; what starts at random learns with a larger rate and more passes, and is cheap.
        preset={"backbone": "minilm-l6", "pretrained": False, "learning_rate": 3e-4, "epochs": 10},
        apart={"pretrained": "p5"},
    ),
    System(
        "laser-llm", "Laser, LLM only", "llm", "laser_core.lm.laser_llm:LaserLLM",
        needs=("torch", "transformers", "peft"), zero_shot=True,
    ),
    System(
        "laser-llm-many", "Laser, LLM only (many targets)", "llm", "laser_core.lm.laser_llm:LaserLLM",
        needs=("torch", "transformers", "peft"), preset={"prompt": "many"}, zero_shot=True,
    ),
    System(
        "laser-llm-retrieval", "Laser, LLM only (retrieval)", "llm", "laser_core.lm.laser_llm:LaserLLM", paper_row="Laser, LLM only",
        needs=("torch", "transformers", "peft"), preset={"retrieval": True}, zero_shot=True,
    ),
    System(
        "laser-llm-short", "Laser, LLM only (short prompts)", "llm", "laser_core.lm.laser_llm:LaserLLM",
        needs=("torch", "transformers", "peft"), zero_shot=True,
        # What two cores can tune in a minute: the last five ratings, adapters in the last blocks, one epoch, nothing to choose by.
        preset={
            "prompt": "many", "template": "many-short", "history": 5, "epochs": 1, "batch_size": 8, "learning_rates": (5e-4,),
            "dropout": 0.0, "top_blocks": 10, "valid_limit": 0,
        },
    ),
    System(
        "laser-llm-counted", "Laser, LLM only (counted taste)", "llm", "laser_core.lm.laser_llm:LaserLLM",
        needs=("torch", "transformers", "peft"), zero_shot=True,
        # Each line says how many of the items like its own the user liked before, counted over all earlier ratings: ten lines and a number
        # tell a small model more than thirty lines. Twenty targets share a sequence, so that two cores can score a whole test split. The
        # model stays frozen: a read-out of its middle blocks learned more from few labels than adapters did (both on validation rows).
        preset={"prompt": "many", "template": "many-counted", "history": 10, "block": 20, "learn": "readout"},
    ),
    System(
        "laser-crm", "Laser, LLM+CRM", "llm+crm", "laser_core.knowledge.laser_crm:LaserCRM",
        revision=3, paper_row="Laser, LLM+CRM", needs=("torch", "transformers"),
    ),
]  # fmt: skip
SYSTEMS: dict[str, System] = {system.name: system for system in _SYSTEMS}


def get(name: str) -> System:
    """The entry of a system.

    Raises:
        UserError: There is none of that name.
    """
    if name not in SYSTEMS:
        raise unknown("system", name, SYSTEMS)
    return SYSTEMS[name]


def missing_packages(system: System) -> list[str]:
    """The packages a system needs that are not installed."""
    return [package for package in system.needs if importlib.util.find_spec(package) is None]


def recommender_class(name: str) -> type[Recommender]:
    """The class behind a system, imported now.

    Raises:
        MissingError: A package it needs is not installed.
    """
    system = get(name)
    missing = missing_packages(system)
    if missing:
        raise MissingError(f"system '{name}' needs {', '.join(missing)}: pip install -e '.[all]' -c constraints.txt")
    module, _, attribute = system.where.partition(":")
    return getattr(importlib.import_module(module), attribute)


def create(name: str, **options: Any) -> Recommender:
    """A new, unfitted system with the given options.

    Raises:
        UserError: Unknown system or option, an impossible value, or one that makes it another system.
    """
    system, kind = get(name), recommender_class(name)
    made = kind(**{**system.preset, **options})
    for option, other in system.apart.items():
        if getattr(made.options, option) != getattr(kind(**system.preset).options, option):
            raise UserError(f"with option '{option}' of {getattr(made.options, option)} this is not '{name}': take system '{other}'")
    return made
