"""`laser bench lm`: what a language model costs, beside what this machine's matrix products can do.

Each part is a function that returns a `Part`; the heavy work is in the functions below them, which run in a process of its own with one
thread (on a CPU; on a GPU, where the settings name one, whatever it has). Prompts are those of MovieLens-small. The cost is counted in
CPU-seconds, on a GPU in seconds; operations as 2 x weights x tokens, of the weights that a token is multiplied with (no embeddings).
On a GPU, where a pass holds several prompts and is filled up with copies, so many times as many prompts are read: every pass is full.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from laser_core.bench.measure import KIT, Part, call, in_turns, run_parts
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

if TYPE_CHECKING:
    from laser_core.datasets.dataset import CTRDataset
    from laser_core.lm.laser_llm import LaserLLM

BACKBONE = "smollm2-135m"
HISTORY = 30
SCORED, TUNED = 3, 2  # prompts a round, times those of a pass
CANDIDATES, PLAIN = 50, 5  # targets after one history; of them, as many are scored one by one (each costs the same) to keep it short
LONG = 1024  # tokens that go through the layers at once where the matrix products alone are timed


def run(out: Path, parts: Sequence[str] = (), repeats: int = 3, progress: Progress = no_progress, backbone: str = BACKBONE) -> None:
    """Measure the parts (all, if none is named) and write each into the record `out` as soon as it is done.

    Args:
        backbone: The language model; it is fetched first if need be.

    Raises:
        UserError: There is no such part or backbone, or `out` is no benchmark's record.
        FaultError: The weights are not to be had, or a benchmark failed.
    """
    from laser_core.lm import backbones

    backbones.fetch(backbone, progress)
    chosen = {name: partial(part, backbone) for name, part in PARTS.items()}
    run_parts(out, chosen, parts, repeats, ("torch", "transformers", "peft"), progress)


# ---- the parts -----------------------------------------------------------------------------------------------------------------


def scoring(backbone: str, scratch: Path, repeats: int) -> Part:
    """Scoring prompts, beside the matrix products of the same layers alone."""
    found = _call("scoring_rates", backbone, repeats)
    part = Part(f"Scoring by {found['label']} in {found['precision']}: {found['weights'] / 1e6:.0f} million weights a token meets")
    unit = found["second"]
    part.measured(f"the model's own layers alone, {LONG:,} tokens", "torch", f"GFLOP a {unit}", found["products"])
    for form, tokens in found["tokens"].items():
        case = f"{form}-target prompts of {found['length'][form]:.0f} tokens"
        rates = [2e-9 * found["weights"] * speed for speed in tokens]
        part.measured(case, KIT, f"tokens a {unit}", tokens)
        part.measured(case, KIT, f"GFLOP a {unit}", rates)
        part.compared(f"share of the matrix products' rate that scoring {case} reaches", rates, found["products"], 0.6)
        every = [rate * found["parameters"] / found["weights"] for rate in rates]
        part.compared("the same if embeddings counted as well (2 x all parameters x tokens)", every, found["products"])
    return part


def tuning(backbone: str, scratch: Path, repeats: int) -> Part:
    """Tuning on many targets a sequence, beside one target a prompt."""
    found = _call("tuning_rates", backbone, repeats)
    part = Part(f"Tuning {found['label']} in {found['precision']}: labels learned from, histories of {HISTORY}")
    for form, speeds in found["labels"].items():
        part.measured(f"{form}-target prompts", KIT, f"labels a {found['second']}", speeds)
    part.compared("many targets a sequence learn from so many times the labels", found["labels"]["many"], found["labels"]["one"], 10)
    return part


def shared_history(backbone: str, scratch: Path, repeats: int) -> Part:
    """Scoring many candidates of one user."""
    found = _call("candidate_rates", backbone, repeats)
    part = Part(f"{CANDIDATES} candidates of one user by {found['label']} in {found['precision']}, after a history of {HISTORY}")
    for how, speeds in found["candidates"].items():
        part.measured(how, KIT, f"candidates a {found['second']}", speeds)
    together, alone = found["candidates"].values()
    part.compared("reading the history once scores so many times as many", together, alone, 5)
    part.checked("the log-odds differ by at most", [found["difference"]], 1e-4 if found["precision"] == "fp32" else 0.2, at_least=False)
    return part


PARTS: dict[str, Callable[[str, Path, int], Part]] = {"scoring": scoring, "tuning": tuning, "candidates": shared_history}


def _call(function: str, backbone: str, repeats: int) -> Any:
    return call(f"{__name__}:{function}", backbone=backbone, device=get_settings().device, repeats=repeats)


# ---- what runs in a process of its own -----------------------------------------------------------------------------------------


def scoring_rates(backbone: str, device: str, repeats: int) -> dict[str, Any]:
    """Tokens a second of scoring, and the rate of the layers' matrix products, in turns."""
    import torch

    model, dataset = _open(backbone, device, "one")
    layers = [layer.weight for layer in model.model_.body.modules() if isinstance(layer, torch.nn.Linear)]
    weights = sum(weight.numel() for weight in layers)
    inputs = {width: torch.randn(LONG, width, dtype=layers[0].dtype, device=layers[0].device) for width in {w.shape[1] for w in layers}}

    @torch.inference_mode()
    def products() -> float:
        seconds = _seconds(model, lambda: [torch.nn.functional.linear(inputs[weight.shape[1]], weight) for weight in layers])
        return 2e-9 * weights * LONG / seconds

    runs, length = {"products": products}, {}
    for form in ("one", "many"):
        texts = _full_passes(model, _texts(model, dataset, form, SCORED))
        length[form] = float(np.mean([len(text.tokens) for text in texts]))
        runs[form] = partial(_tokens_a_second, model, texts)
    found = in_turns(runs, repeats)
    parameters = sum(weight.numel() for weight in model.model_.model.parameters())
    return {
        **_about(model),
        "weights": weights,
        "parameters": parameters,
        "products": found.pop("products"),
        "tokens": found,
        "length": length,
    }


def tuning_rates(backbone: str, device: str, repeats: int) -> dict[str, Any]:
    """Labels a second that a step of tuning learns from, one target a prompt and many targets a sequence, in turns."""
    from laser_core.lm import tuning

    model, dataset = _open(backbone, device, "one")
    settings = model.tuning_at(1e-4)
    tuning.add_adapter(model.model_.model, settings, seed=0)

    def speed(form: str) -> float:
        texts = _texts(model, dataset, form, TUNED * model.texts_a_pass())
        labels = [dataset.event_label[text.events].astype(int) for text in texts]
        known = len(np.unique(np.concatenate([text.events for text in texts])))
        return known / _seconds(model, lambda: tuning.tune(model.model_, texts, labels, settings, 0, model.texts_a_pass()))

    return {**_about(model), "labels": in_turns({form: partial(speed, form) for form in ("one", "many")}, repeats, warm_up=False)}


def candidate_rates(backbone: str, device: str, repeats: int) -> dict[str, Any]:
    """Candidates a second that are scored after one history, read once and read again for each, in turns."""
    from laser_core import explain
    from laser_core.lm import backbones, scoring

    model, dataset = _open(backbone, device, "one")
    row = int(_long(dataset)[0])
    history = explain.history_of(dataset, row, HISTORY)
    items = np.argsort(dataset.item_popularity)[::-1][:CANDIDATES]
    prompts = [model.prompt(explain.what_if(dataset, row, history, int(item)), 0) for item in items]
    encoded = scoring.encode(backbones.tokenizer(backbone), prompts)
    odds: dict[str, np.ndarray] = {}

    def together() -> float:
        return CANDIDATES / _seconds(model, lambda: odds.update(together=np.concatenate(scoring.shared_log_odds(model.model_, encoded))))

    def alone() -> float:
        texts = _full_passes(model, encoded[:PLAIN])

        def score() -> None:
            odds["alone"] = np.concatenate(scoring.log_odds(model.model_, texts, model.texts_a_pass()))[:: model.texts_a_pass()]

        return len(texts) / _seconds(model, score)

    found = in_turns({"the history read once": together, "each prompt alone": alone}, repeats, warm_up=False)
    return {**_about(model), "candidates": found, "difference": float(np.abs(odds["together"][:PLAIN] - odds["alone"]).max())}


def _open(backbone: str, device: str, form: str) -> tuple[LaserLLM, CTRDataset]:
    """The untuned system, and MovieLens-small."""
    os.environ["LASER_DEVICE"] = device
    from laser_core import datasets
    from laser_core.lm.laser_llm import LaserLLM

    dataset = datasets.load("movielens-small")
    none = np.zeros(0, dtype=int)
    system = LaserLLM(backbone=backbone, prompt=form, history=HISTORY, epochs=1)
    return system.fit(dataset, none, none), dataset


def _long(dataset: CTRDataset) -> np.ndarray:
    """Test samples with full histories, of different users."""
    rows = dataset.test[dataset.sample_event[dataset.test] - dataset.history_start(dataset.test, 0) >= HISTORY]
    return rows[np.unique(dataset.sample_user(rows), return_index=True)[1]]


def _texts(model: LaserLLM, dataset: CTRDataset, form: str, count: int) -> list[Any]:
    """Prompts of one form, as tokens."""
    from laser_core.lm import backbones, scoring
    from laser_core.lm.laser_llm import LaserLLM

    other = LaserLLM(backbone=model.options.backbone, prompt=form, history=HISTORY)
    prompts = [text.prompt for text in other.texts(dataset, _long(dataset)[:count])]
    return scoring.encode(backbones.tokenizer(model.options.backbone), prompts)


def _full_passes(model: LaserLLM, texts: list[Any]) -> list[Any]:
    """Each text as often as a pass holds texts, since only texts of like length share one: once on a CPU."""
    return [text for text in texts for _ in range(model.texts_a_pass())]


def _tokens_a_second(model: LaserLLM, texts: list[Any]) -> float:
    from laser_core.lm import scoring

    return sum(len(text.tokens) for text in texts) / _seconds(model, lambda: scoring.log_odds(model.model_, texts, model.texts_a_pass()))


def _seconds(model: LaserLLM, work: Callable[[], object]) -> float:
    """What some work takes: CPU-seconds, or seconds where a GPU does it."""
    import torch

    if model.model_.device.type == "cpu":
        begin = time.process_time()
        work()
        return time.process_time() - begin
    torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def _about(model: LaserLLM) -> dict[str, str]:
    from laser_core.lm import backbones

    dtype = str(next(model.model_.body.parameters()).dtype)
    return {
        "label": backbones.get(model.options.backbone).label,
        "precision": {"torch.float32": "fp32", "torch.bfloat16": "bf16"}[dtype],
        "second": "CPU-second" if model.model_.device.type == "cpu" else "second",
    }
