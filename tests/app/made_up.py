"""Made-up results for the tests of the pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

APP = Path(__file__).resolve().parents[2] / "app"
SYSTEMS = {"history-lr": 0.9, "din": 0.6, "laser-llm": 2.5}
"""system -> how well the made-up predictions know the truth"""
LM_ROWS = 400


def add_cell(store, dataset, system: str, shots, seed: int, skill: float, test_rows="all", failed: str | None = None, **changes) -> str:
    """Write one made-up result whose predictions are the truth seen through noise; returns its key."""
    from laser_core import metrics
    from laser_core.study.store import cell_key, make_test_set, rounded
    from laser_core.systems import SYSTEMS as REGISTRY

    rows = dataset.test_rows(test_rows)
    labels = dataset.labels(rows).astype(float)
    n = len(dataset.train) if shots == "all" else shots
    noise = np.random.default_rng([len(system), n, seed]).normal(size=len(rows))
    probabilities = rounded(1 / (1 + np.exp(-(skill * (labels - 0.5) + noise))))
    cell = {
        "dataset": dataset.name, "data_version": dataset.version, "system": system, "revision": REGISTRY[system].revision,
        "options": changes.get("options", {}), "shots": shots, "seed": seed, "test_rows": test_rows,
    }  # fmt: skip
    values = {} if failed else metrics.evaluate(labels, probabilities)
    for name in () if failed else ("auc", "log_loss"):
        values |= {f"{name}_low": values[name] - 0.01, f"{name}_high": values[name] + 0.01}
    drawn = [] if failed else metrics.bootstrap_auc(labels, probabilities, dataset.sample_user(rows), draws=40).tolist()
    record = {
        "status": "failed" if failed else "done", "error": failed, "cell": cell, "variant": changes.get("variant", ""), "metrics": values,
        "counts": {"train_rows": n, "labels_seen": n, "valid_rows": 256, "test_rows": len(rows), "parameters": 10},
        "cost": {"fit_seconds": 1.5, "predict_seconds": 0.5, "cpu_seconds": 2.0, "peak_memory_mb": 100.0},
        "curve": [{"epoch": 1, "train_loss": 0.7, "valid_log_loss": 0.69}, {"epoch": 2, "train_loss": 0.6, "valid_log_loss": 0.66}],
        "draws": {"auc": drawn},
        "test_set": store.write_test_set(cell, make_test_set(dataset, rows), private=False),
        "provenance": {
            "versions": {"numpy": "2.0"}, "hardware": {"cpu": "a test"}, "commit": "0" * 7, "threads": 1, "profile": "smoke",
            "started": "2026-01-01T00:00:00+00:00", "finished": f"2026-01-01T00:00:{seed:02d}+00:00",
        },
    }  # fmt: skip
    store.write(record, None if failed else probabilities)
    return cell_key(cell)


def page_files() -> list[str]:
    """Every page of the dashboard, from the navigation itself."""
    text = (APP / "main.py").read_text(encoding="utf-8")
    return [name for name in sorted(path.name for path in APP.glob("*.py")) if f'"{name}"' in text]


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "**b** <b>b</b>",
    "$x^2$ and $y$",
    "=1+1",
    "\u202egpj.exe",
    ":red[x] :smile:",
    "[l](http://x)",
)


def hostile_mapping(folder: Path) -> Path:
    """The mapping file of made-up ratings whose every text tries to be something else: markup, TeX, a formula, another direction."""
    random = np.random.default_rng(0)
    users, items = 30, 24
    pairs = [(user, item) for user in range(users) for item in random.choice(items, 12, replace=False)]
    ratings = pd.DataFrame(pairs, columns=["user", "item"]).assign(rating=random.integers(1, 6, len(pairs)), time=range(len(pairs)))
    films = pd.DataFrame({"item": range(items), "title": [f"{HOSTILE[item % len(HOSTILE)]} {item}" for item in range(items)]})
    films["genre"] = [HOSTILE[item % 3] for item in range(items)]
    people = pd.DataFrame({"user": range(users), "<b>age</b>": [HOSTILE[user % len(HOSTILE)] for user in range(users)]})
    names = {user: f"{HOSTILE[user % len(HOSTILE)]} u{user}" for user in range(users)}
    for name, table in (("ratings", ratings), ("people", people)):
        table.assign(user=table["user"].map(names)).to_csv(folder / f"{name}.csv", index=False)
    films.to_csv(folder / "films.csv", index=False)
    mapping = """
name = "hostile"
label = "rating >= 4"
split = "last-of-each-user"
[ratings]
file = "ratings.csv"
user = "user"
item = "item"
rating = "rating"
time = "time"
scale = [1, 2, 3, 4, 5]
[items]
file = "films.csv"
id = "item"
title = "title"
group = "genre"
fields = ["genre"]
[users]
file = "people.csv"
id = "user"
fields = ["<b>age</b>"]
"""
    (folder / "hostile.toml").write_text(mapping, encoding="utf-8")
    return folder / "hostile.toml"
