"""Files of public data sets: found in the user's folder or the cache, else downloaded with a checksum."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from replica.errors import ReplicaError

FOLDER_VARIABLE = "REPLICA_DATA"


@dataclass(frozen=True)
class PublicFile:
    """One file of a public data set, with the checksum that a download must have, and addresses of its bytes in order.

    The ``title`` is for messages; ``folder`` is where it lies below ``$REPLICA_DATA`` and in the cache.
    """

    title: str
    folder: str
    name: str
    sha256: str
    homes: tuple[str, ...]

    def find(self) -> Path:
        """Where the file is, after a download if need be."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder:
            path = Path(folder).expanduser() / self.folder / self.name
            if path.is_file():
                return path
        return self._download(folder)

    def _download(self, folder: str | None) -> Path:
        import platformdirs
        import pooch

        cache = platformdirs.user_cache_path("replica") / self.folder
        failures: list[str] = []
        for home in self.homes:
            try:
                path = pooch.retrieve(
                    home,
                    known_hash=f"sha256:{self.sha256}",
                    fname=self.name,
                    path=cache,
                    downloader=pooch.HTTPDownloader(timeout=30),
                )
            except (OSError, ValueError) as error:  # no network, or not the file that the checksum names
                failures.append(f"{home.split('/')[2]}: {type(error).__name__}")
                continue
            return Path(path)
        looked = f"not in {Path(folder) / self.folder}" if folder else f"{FOLDER_VARIABLE} is not set"
        raise ReplicaError(
            f"{self.title}: {self.name} is missing ({looked}) and could not be downloaded ({'; '.join(failures)}): "
            f"go online, or put it into a folder {self.folder}/ and set {FOLDER_VARIABLE} to the folder above it."
        )
