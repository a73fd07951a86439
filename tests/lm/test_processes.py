"""Several processes: the work is dealt out fairly, and `accelerate launch` gives what one process gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from laser_core import systems
from laser_core.lm import processes
from laser_core.lm.processes import Team

SETTINGS = Path(processes.__file__).parent / "accelerate"
OPTIONS = {
    "precision": "fp32", "dropout": 0.0, "history": 2, "epochs": 2, "batch_size": 5, "valid_limit": 6, "template": "many-short",
}  # fmt: skip


@given(work=st.integers(1, 30), size=st.integers(1, 5))
def test_every_piece_counts_once_and_all_do_equally_many(work, size):
    shares = [Team(rank, size).share(list(range(work))) for rank in range(size)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(piece for share in shares for piece, counts in share if counts) == list(range(work))
    assert all(0 <= piece < work for share in shares for piece, _ in share)


def test_one_process_is_a_team_that_changes_nothing():
    team = processes.team()
    assert team == Team() and team.share([3, 1, 2]) == [(3, True), (1, True), (2, True)]
    assert team.gathered({1: 2}) == {1: 2} and team.from_first(lambda: 7) == 7


@pytest.mark.parametrize("settings", ["ddp", "fsdp"])
def test_two_processes_give_what_one_gives(small, tiny, tmp_path, settings):
    """The command that a user gives, on two CPU processes: adapters agree to 1e-6, curves to 1e-5; five texts a step, an odd number."""
    words = [f"{name}={value}" for name, value in {"backbone": tiny, **OPTIONS}.items()]
    command = [
        *(sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(SETTINGS / f"{settings}.yaml")),
        *("-m", "laser_core", "train", "laser-llm-many", "movielens-small", "--shots", "8", "--out", str(tmp_path / "two")),
        *(part for word in words for part in ("--option", word)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("laser-llm-many fitted on 8 labels") == 1  # one of them speaks
    model = systems.create("laser-llm-many", backbone=tiny, **OPTIONS)
    model.fit(small, small.shots(8, 0), small.validation_rows(8, 0), seed=0)
    model.save(tmp_path / "one")
    one, two = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and max(float(value.abs().max()) for value in one.values()) > 0.01
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 1e-6
    curve = json.loads((tmp_path / "two" / "model.json").read_text())["curve"]
    assert curve == [pytest.approx(entry, abs=1e-5) for entry in model.curve_]
    assert curve != model.curve_  # sums in another order: there really were two


KILLED_AND_GOING_ON = """
import sys
import time
from pathlib import Path
import numpy as np
import safetensors.torch
from laser_core.lm import tuning
from laser_core.lm.laser_llm import LaserLLM
from laser_core.lm.processes import team
from laser_core.settings import get_settings
from tests.lm.test_tuning import SETTINGS, SHELF, Killed, odds, opened

tuning.NOTE_SECONDS = 0
tiny, note = sys.argv[1], Path(sys.argv[2])

def run(checkpoint, kill_at=0, own_draws=True):
    def progress(message, step, steps):
        said.append(message)
        if step == kill_at and message.startswith("tuning"):
            raise Killed
    model, _, encoded, labels = opened(tiny, dropout=0.3 if own_draws else 0.0)
    tuning.tune(model, encoded, labels, SETTINGS, 5, 1, None, progress, checkpoint)
    return odds(model, encoded)

said = []
whole, without = run(None), run(None, own_draws=False)
try:
    run(note, kill_at=3)
except Killed:
    said.clear()
resumed = run(note)
assert team().size == 2 and said[0] == "going on at step 4", said
assert not np.array_equal(whole, without)
assert np.array_equal(resumed, whole), np.abs(resumed - whole).max()

write = safetensors.torch.save_file

def slowly(*given):
    write(*given)
    time.sleep(0.3)

safetensors.torch.save_file = slowly
LaserLLM(backbone=tiny, prompt="many", precision="fp32", epochs=1, valid_limit=0).fit(SHELF, SHELF.shots(8, 0), SHELF.valid)
assert not any((get_settings().home / "tuning").iterdir())
print(f"rank {team().rank} is sound")
"""


def test_a_killed_tuning_of_two_processes_goes_on_with_each_ones_own_dropout(tiny, tmp_path):
    """And a whole fit removes its notes, which one process is slow to write, when that one has written them."""
    script = tmp_path / "killed.py"
    script.write_text(KILLED_AND_GOING_ON, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch", "--config_file", str(SETTINGS / "ddp.yaml")),
        *(str(script), tiny, str(tmp_path / "0.safetensors")),
    ]
    root = str(Path(__file__).parents[2])
    env = os.environ | {"PYTHONPATH": root, "LASER_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    assert all(f"rank {rank} is sound" in done.stdout for rank in (0, 1))  # two writers may share a line
