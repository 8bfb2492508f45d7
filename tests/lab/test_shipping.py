"""What travels with a job to a machine that shares no files with this one."""

from pathlib import Path

import pytest

from replica.lab.claims import Trial
from replica.lab.runner.job import EntryJob, Method, StudyJob
from replica.lab.runner.shipping import Packer, moved

LIMITS = {"trial": Trial(0, "smoke", "cpu"), "fingerprint": "f", "limit_seconds": 1.0, "limit_bytes": 1}
FILES = {
    "mine.py": "import numpy\nimport beside\nfrom package.deep import x\ndef late():\n    import later\n",
    "mine.toml": "departures = []\n",
    "beside.py": "import further\n",
    "beside.toml": "",
    "further.py": "import mine\n",
    "later.py": "",
    "package/__init__.py": "from . import other\n",
    "package/deep.py": "from .other import x\nimport aside\n",
    "package/other.py": "x = 1\n",
    "aside.py": "",
    "unrelated.py": "",
    "secret.txt": "not asked for",
    "images/a/1.png": "1",
    "images/b/2.png": "2",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def entry_job(data: str, method: Method) -> EntryJob:
    return EntryJob(
        subject="recall/mine", problem="recall", method=method, data=data, digest="d", options={"stored": 5}, **LIMITS
    )


def test_code_travels_with_what_it_imports_from_beside_it_and_nothing_else(folder: Path):
    path = str(folder / "mine.py")
    job = StudyJob(subject="mine/study", source=path, study="study", **LIMITS)
    sent = Packer().bundles(job)
    assert set(sent) == {path}
    assert set(sent[path].files) == {name for name in FILES if name.endswith(".py")} - {"unrelated.py"} | {"mine.toml"}
    assert sent[path].files["beside.py"] == FILES["beside.py"].encode()


def test_data_travel_as_a_file_or_a_whole_folder_and_named_ones_do_not(folder: Path):
    single, whole = str(folder / "secret.txt"), str(folder / "images")
    assert dict(Packer().bundles(entry_job(single, Method("random-guess")))[single].files) == {
        "secret.txt": b"not asked for"
    }
    assert dict(Packer().bundles(entry_job(whole, Method("random-guess")))[whole].files) == {
        "images/a/1.png": b"1", "images/b/2.png": b"2",
    }  # fmt: skip
    assert Packer().bundles(entry_job("digits", Method("random-guess"))) == {}


def test_equal_content_travels_once_wherever_it_lies(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other")
    (other / "secret.txt").write_text("not asked for")
    digests = {
        Packer().bundles(entry_job(path, Method("random-guess")))[path].digest
        for path in (str(folder / "secret.txt"), str(other / "secret.txt"))
    }
    assert len(digests) == 1
    (other / "again").mkdir()
    (other / "again" / "secret.txt").write_text("not asked fo")
    path = str(other / "again" / "secret.txt")
    assert Packer().bundles(entry_job(path, Method("random-guess")))[path].digest not in digests


def test_a_moved_job_is_the_same_trial(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    source, data = str(folder / "mine.py"), str(folder / "secret.txt")
    job = entry_job(data, Method("late", source, attribute="late"))
    there = tmp_path_factory.mktemp("there")
    for path, bundle in Packer().bundles(job).items():
        bundle.unpack(there / Path(path).stem)
    places = {source: str(there / "mine" / "mine.py"), data: str(there / "secret" / "secret.txt")}
    arrived = moved(job, places)
    assert isinstance(arrived, EntryJob)
    assert (arrived.method.source, arrived.data) == (places[source], places[data])
    assert Path(arrived.data).read_text() == "not asked for"
    assert arrived.key == job.key
