"""The site, built once for all tests and processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site's folder. A build that failed is told to every test that would read it, and made no second time."""
    pytest.importorskip("sphinx", reason="the site needs pip install 'replica-papers[docs]'")
    pytest.importorskip("pydata_sphinx_theme", reason="the site needs pip install 'replica-papers[docs]'")
    filelock = pytest.importorskip("filelock")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    log = folder.with_suffix(".log")  # there once the build has ended
    with filelock.FileLock(folder.with_suffix(".lock")):
        if not log.exists():
            command = [sys.executable, "-m", "docs.generate", str(folder), "--draft"]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
            log.write_text(f"{done.stdout}{done.stderr}\nexit status {done.returncode}")
    said = log.read_text()
    if not said.endswith("exit status 0"):
        pytest.fail(f"the site was not built: {said[-4000:]}")
    return folder / "html"
