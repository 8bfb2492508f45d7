"""What killed runs left in shared memory goes, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from replica.lab.runner.leftovers import clear_leftovers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shared memory has no folder there")


def test_only_what_belongs_to_dead_processes_goes(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    dead = [f"sem.loky-{gone.pid}-abc", f"joblib_memmapping_folder_{gone.pid}_x_y"]
    kept = [f"sem.loky-{os.getpid()}-abc", f"sem.other-{gone.pid}-abc", f"psm_{gone.pid}", f"sem.loky-{10**30}-a"]
    for name in (dead[0], *kept):
        (tmp_path / name).touch()
    (tmp_path / dead[1]).mkdir()
    (tmp_path / dead[1] / "array.pkl").touch()
    assert sorted(clear_leftovers(tmp_path)) == sorted(dead)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
    assert clear_leftovers(tmp_path / "nowhere") == []
