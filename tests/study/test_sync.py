from __future__ import annotations

import shutil

import pytest
from typer.testing import CliRunner

from laser_core.cli import app
from laser_core.errors import FaultError, UserError
from laser_core.study import runner
from laser_core.study.spec import Study
from laser_core.study.store import ResultStore
from laser_core.study.sync import Synced, sync
from tests.study import fake
from tests.study.test_runner import run_here

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: pip install fsspec")


def study() -> Study:
    """Three cells."""
    return fake.study(shots=(64,), seeds=(0, 2, 3))


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    yield f"memory://laser-{tmp_path.name}" if request.param == "memory" else f"file://{tmp_path}/shared"
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()


def synced(store: ResultStore, url: str) -> Synced:
    return sync(store, runner.plan(study(), store), url)


def states(store: ResultStore) -> list[str]:
    return [entry.state for entry in runner.plan(study(), store)]


def test_machines_share_results_through_an_object_store(small, registry, tmp_path, url):
    here, there = ResultStore(tmp_path / "here"), ResultStore(tmp_path / "there")
    run_here(study(), here.folder)
    assert synced(here, url) == Synced(sent=3)
    assert synced(here, url) == Synced()
    assert synced(there, url) == Synced(fetched=3)
    assert run_here(study(), there.folder).computed == 0
    for key in here.cells()["key"]:
        assert there.read(key) == here.read(key)
        assert there.predictions(key).equals(here.predictions(key))


def test_what_was_asked_at_once_goes_along_whenever_it_was_asked(small, registry, tmp_path, url):
    here, there = ResultStore(tmp_path / "here"), ResultStore(tmp_path / "there")
    run_here(study(), here.folder)
    synced(here, url)
    synced(there, url)
    key = here.cells()["key"][0]
    said = here.predictions(key)
    here.write_at_once(key, {"row": said["row"].to_numpy(), "probability": said["probability"].to_numpy()}, {"by": "hand"})
    assert synced(here, url) == Synced(at_once_sent=1), "no result is new"
    assert synced(there, url) == Synced(at_once_fetched=1)
    assert synced(here, url) == synced(there, url) == Synced()
    assert there.asked_at_once() == {key}
    assert there.at_once(key).equals(here.at_once(key))


def test_what_two_machines_computed_stays_as_it_was_first_sent(small, registry, tmp_path, url):
    here, there = ResultStore(tmp_path / "here"), ResultStore(tmp_path / "there")
    for store in (here, there):
        run_here(study(), store.folder)
    synced(here, url)
    assert synced(there, url) == Synced()
    third = ResultStore(tmp_path / "third")
    synced(third, url)
    for key in here.cells()["key"]:
        assert third.read(key) == here.read(key)
        assert third.predictions(key).equals(there.predictions(key))  # the two agree in all but when and how long


@pytest.mark.parametrize("suffix", ["json", "parquet"])
@pytest.mark.parametrize(
    "harm", [lambda content: content[:40], lambda content: content[:-20] + b"?" + content[-19:], lambda content: b"{}"]
)
def test_damage_over_there_is_said_and_not_taken_for_a_result(small, registry, tmp_path, url, suffix, harm):
    here, there = ResultStore(tmp_path / "here"), ResultStore(tmp_path / "there")
    run_here(study(), here.folder)
    synced(here, url)
    place, root = fsspec.core.url_to_fs(url)
    record = next(name for name in place.find(root) if name.endswith(".json"))
    name = record.removesuffix("json") + suffix
    place.pipe_file(name, harm(place.cat_file(name)))
    done = synced(there, url)
    assert (done.sent, done.fetched) == (0, 2)
    assert [address.rpartition("/")[2] for address in done.damaged] == [record.rpartition("/")[2]]
    assert sorted(states(there)) == ["done", "done", "missing"]
    place.rm_file(record)
    if suffix == "parquet":
        place.rm_file(name)
    assert synced(here, url) == Synced(sent=1)
    assert synced(there, url) == Synced(fetched=1)


def test_a_record_leads_to_no_other_path(small, registry, tmp_path):
    here, there = ResultStore(tmp_path / "here"), ResultStore(tmp_path / "there")
    run_here(study(), here.folder)
    url = f"file://{tmp_path}/shared"
    synced(here, url)
    for path in (tmp_path / "shared").rglob("*.json"):
        path.write_text('{"test_set": "x/../../../../outside"}')
    shutil.copytree(tmp_path / "shared", tmp_path / "before")
    assert len(synced(there, url).damaged) == 3
    assert not list(tmp_path.rglob("*outside*"))


def test_results_without_predictions_are_not_sent(small, registry, tmp_path, url):
    run_here(study(), tmp_path / "here")
    for path in (tmp_path / "here").rglob("*.parquet"):
        path.unlink()
    recorded = ResultStore(tmp_path / "runs", tmp_path / "here")
    assert states(recorded) == ["done"] * 3
    assert synced(recorded, url) == Synced()


def test_places_that_cannot_be_had_say_why(small, registry, tmp_path):
    store = ResultStore(tmp_path)
    with pytest.raises(UserError, match="cannot open nowhere://x"):
        synced(store, "nowhere://x")
    (tmp_path / "taken").write_text("a file")
    run_here(study(), tmp_path / "here")
    with pytest.raises(FaultError, match="cannot sync with file://"):
        synced(ResultStore(tmp_path / "here"), f"file://{tmp_path}/taken/below")


def test_command_tells_what_it_did(small, tmp_path):
    url = f"file://{tmp_path}/shared"
    result = CliRunner().invoke(app, ["study", "sync", "smoke", url, "--store", str(tmp_path / "runs"), "--profile", "smoke"])
    assert result.exit_code == 0, result.output
    assert f"smoke: 0 results sent, 0 fetched; asked at once: 0 sent, 0 fetched: {url}" in result.output
