"""`laser systems`, `laser train`, `laser score`, `laser probe`: one system or language model at a time, outside of any study."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laser_core.cli.arguments import Dataset, Json, Source, complete_system, load_dataset, row_count
from laser_core.cli.console import note, print_json, print_table, progress_bar
from laser_core.cli.text import number
from laser_core.errors import DataError, UserError
from laser_core.progress import no_progress
from laser_core.settings import get_settings

if TYPE_CHECKING:
    import numpy as np

    from laser_core.datasets.dataset import CTRDataset

app = typer.Typer()
_TRAINED = "trained.json"


@app.command(epilog="Example: `laser systems sim`")
def systems(
    name: Annotated[
        str | None, typer.Argument(help="A system, to see its options; without it all systems.", autocompletion=complete_system)
    ] = None,
    as_json: Json = False,
) -> None:
    """Every system: what it is, which row of the paper's Table 1 it stands for, whether it can run here; or the options of one."""
    if name is not None:
        return _tell_options(name, as_json)
    from laser_core.doctor import DEMO_BACKBONE
    from laser_core.lm import backbones
    from laser_core.systems import SYSTEMS, missing_packages

    rows = []
    for system in SYSTEMS.values():
        missing = missing_packages(system)
        backbone = system.preset.get("backbone", DEMO_BACKBONE)
        if "transformers" in system.needs and not backbones.ready(backbone):
            way = "laser doctor --fetch" if backbone == DEMO_BACKBONE else f"python -m laser_core.lm.backbones {backbone}"
            missing.append(f"weights ({way})")
        rows.append(
            {
                "name": system.name,
                "label": system.label,
                "family": system.family,
                "paper_row": system.paper_row,
                "runs_here": not missing,
                "missing": missing,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        "Systems",
        ["name", "system", "family", "row of the paper", "runs here"],
        [
            (
                row["name"],
                row["label"],
                row["family"],
                row["paper_row"] or "-",
                "yes" if row["runs_here"] else f"needs {', '.join(row['missing'])}",
            )
            for row in rows
        ],
    )


def _tell_options(name: str, as_json: bool) -> None:
    """What can be set of a system: `--option` of `laser train`, `options` and `vary` of a study."""
    import dataclasses

    from laser_core.options import options_of

    found = list(options_of(name).values())
    if as_json:
        print_json([dataclasses.asdict(option) for option in found])
    else:
        print_table(f"Options of {name}", ["option", "usual", "what it does"], [(one.name, one.usual, one.words) for one in found])


@app.command(epilog="Example: `laser train din movielens-small --shots 256 --seed 0 --option epochs=3 --out models/din`")
def train(
    system: Annotated[str, typer.Argument(help="Name of a system (`laser systems`).", autocompletion=complete_system)],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write the fitted model to.")],
    shots: Annotated[str, typer.Option(help="How many training labels: a whole number, or all.")] = "all",
    seed: Annotated[int, typer.Option(help="Which subset and which initial values.", min=0)] = 0,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="NAME=VALUE, as often as you like: `laser systems SYSTEM`.")
    ] = None,
    source: Source = None,
) -> None:
    """Fit one system on N labels and save it. Nothing enters the result store: that is what studies do.

    A language model is tuned by several processes or GPUs together with
    `accelerate launch --config_file laser_core/lm/accelerate/ddp.yaml -m laser_core train ...`.
    """
    from laser_core.systems import create

    model, count = create(system, **_options(option or [])), row_count(shots)
    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / _TRAINED).exists():
        raise UserError(f"{out} exists and holds something else than a trained system: name another folder with --out")
    _check_writable(out)
    data = load_dataset(dataset, source)
    rows = data.shots(count, seed)
    leads = os.environ.get("RANK", "0") == "0"  # of processes that tune together (`accelerate launch`), the first one speaks and writes
    with progress_bar(f"{system} on {data.name}") if leads else nullcontext(no_progress) as progress:
        model.fit(data, rows, data.validation_rows(count, seed), seed=seed, progress=progress)
    if not leads:
        with tempfile.TemporaryDirectory() as aside:  # a model spread over the processes is put together by all of them
            model.save(Path(aside))
        return
    if (out / _TRAINED).exists():
        note(f"{out} held a trained system: replaced")
    out.mkdir(parents=True, exist_ok=True)
    model.save(out)
    about = {"system": system, "dataset": data.name, "data_version": data.version, "shots": count, "seed": seed, **model.describe()}
    (out / _TRAINED).write_text(json.dumps(about, indent=2), encoding="utf-8")
    print(f"{system} fitted on {len(rows):,} labels of {data.name}: {out}")


@app.command(epilog="Example: `laser score models/din movielens-small --split test --out predictions.csv`")
def score(
    folder: Annotated[Path, typer.Argument(help="Folder that `laser train` wrote.")],
    dataset: Dataset,
    out: Annotated[
        Path | None, typer.Option(help="CSV to write: row, user, item, label, probability; without it only the metrics are told.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    rows: Annotated[str, typer.Option(help="At most so many rows of the split, or all.")] = "all",
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Predict with a saved system: one probability a sample, and the metrics over all.

    With --rows it is a fixed random part of the split, the same for every system.
    """
    from laser_core.metrics import check_probabilities, evaluate, evaluate_without_auc
    from laser_core.systems import recommender_class

    if out is not None:
        if out.is_dir():
            raise UserError(f"{out} is a folder: name a file with --out")
        _check_writable(out.parent)
    about, data = _trained(folder), load_dataset(dataset, source)
    if (about["dataset"], about["data_version"]) != (data.name, data.version):
        raise UserError(
            f"{folder} was trained on {about['dataset']} (version {about['data_version']}) and cannot score {data.name} "
            f"(version {data.version}): laser train {about['system']} {dataset} --out FOLDER makes one that can"
        )
    chosen = data.part(split, row_count(rows))
    model = recommender_class(about["system"]).load(folder)
    with progress_bar(f"{about['system']} on {data.name}") as progress:
        probability = model.predict(data, chosen, progress=progress)
    check_probabilities(probability, len(chosen), about["system"])
    if out is not None:
        _write_predictions(out, data, chosen, probability)
    labels = data.labels(chosen)
    one_class = labels.min() == labels.max()
    metrics = {"rows": len(chosen), **(evaluate_without_auc if one_class else evaluate)(labels, probability)}
    if one_class:
        note(f"no AUC: all {len(chosen):,} samples have label {labels[0]}")
    if as_json:
        print_json(metrics)
    else:
        print(", ".join(f"{name} {number(value)}" for name, value in metrics.items()) + (f": {out}" if out else ""))


@app.command(epilog="Example: `laser probe movielens-small --pairs 100`")
def probe(
    dataset: Dataset,
    backbone: Annotated[str, typer.Option(help="The language model: short name, folder or hub id.")] = "smollm2-135m",
    question: Annotated[list[str] | None, typer.Option("--question", help="title, rating or knowledge; without it all.")] = None,
    pairs: Annotated[int, typer.Option(help="Lines asked about, each after its own beginning and after another.", min=1)] = 200,
    out: Annotated[
        Path | None, typer.Option(help="Record to write; other parts in it stay. Without it bench/memory.json in LASER_STORE.")
    ] = None,
    source: Source = None,
    as_json: Json = False,
) -> None:
    """Does a language model know a data set by heart? If it has read the raw files, its answers prove nothing."""
    from laser_core.bench import memory
    from laser_core.cli.bench import print_benchmark

    data, out = load_dataset(dataset, source), out or get_settings().store / "bench" / "memory.json"
    with progress_bar(f"{backbone} on {data.name}") as progress:
        part = memory.record(out, data, backbone, question or (), pairs, progress)
    print_benchmark(out, [part], as_json)


def _check_writable(folder: Path) -> None:
    """Whether a folder can be written to or made: asked before the work, so that it is not lost at its end.

    Raises:
        UserError: It cannot.
    """
    whole = folder.absolute()
    nearest = next(place for place in (whole, *whole.parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        raise UserError(f"nothing can be written to {folder} ({error.strerror}): name another place with --out") from None


def _write_predictions(out: Path, data: CTRDataset, rows: np.ndarray, probability: np.ndarray) -> None:
    """Each sample's probability as CSV, with the ids of the raw files."""
    import pandas as pd

    ids = {owner: data.field(name).vocabulary for owner, name in (("user", data.about.user_field), ("item", data.about.item_field))}
    table = pd.DataFrame(
        {
            "row": rows,
            "user": ids["user"][data.sample_user(rows) - 1],
            "item": ids["item"][data.sample_item(rows) - 1],
            "label": data.labels(rows),
            "probability": probability,
        }
    )
    if out.exists():
        note(f"{out} was there already: replaced")
    out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(out, index=False)


def _options(pairs: list[str]) -> dict[str, str]:
    """NAME=VALUE texts as a dictionary."""
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UserError(f"option '{pair}' is not NAME=VALUE, such as epochs=3")
        options[name.strip().replace("-", "_")] = value.strip()
    return options


def _trained(folder: Path) -> dict[str, str]:
    """Which system `laser train` fitted, on which data and which version of it."""
    try:
        about = json.loads((folder / _TRAINED).read_text(encoding="utf-8"))
        return {name: about[name] for name in ("system", "dataset", "data_version")}
    except FileNotFoundError:
        raise UserError(f"{folder} holds no trained system: laser train SYSTEM DATASET --out {folder} makes one") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder / _TRAINED} is damaged: train the system again") from None
