"""What a killed run left in shared memory: semaphores and mapped folders of joblib's processes (Ray's workers start such)."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
_OF_JOBLIB = re.compile(r"(?:sem\.loky-|joblib_memmapping_folder_)(\d+)[-_]")


def clear_leftovers(folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove what belongs to this user and to a process that is no more; the name of each tells the process."""
    removed = []
    for path in folder.glob("*") if folder.is_dir() and hasattr(os, "getuid") else ():
        named = _OF_JOBLIB.match(path.name)
        try:
            if not named or path.lstat().st_uid != os.getuid() or _lives(int(named[1])):
                continue
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        except OSError:  # someone else was faster
            continue
        removed.append(path.name)
    return removed


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
