"""Tiny Shakespeare: a megabyte of plays in plain text."""

from __future__ import annotations

import hashlib

from replica.data.sets.public_files import PublicFile
from replica.errors import ReplicaError

_FILE = PublicFile(
    "Tiny Shakespeare",
    "text",
    "tinyshakespeare.txt",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ("https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",),
)


def shakespeare() -> str:
    """Read Tiny Shakespeare (Karpathy, 2015): 1,115,394 characters, 65 different ones, of Shakespeare's plays.

    The file is taken from ``$REPLICA_DATA/text/`` if it is there, else from the cache, else it is downloaded and checked.

    Raises:
        ReplicaError: If neither the folder nor the network has the file, or it is another one.
    """
    path = _FILE.find()
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _FILE.sha256:
        raise ReplicaError(f"{path}: is not Tiny Shakespeare; delete it to download it again.")
    return content.decode("ascii")
