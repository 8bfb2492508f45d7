"""The user's own networks in the problem merge: built by their file, with their weights, and some of their rows held out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from replica.errors import ReplicaError
from replica.lab.catalogue.printable import printable
from replica.lab.claims import Trial
from replica.lab.problems.merge.data import BASE, BUILD, Folder
from replica.lab.problems.merge.nets import Trained, kept
from replica.lab.problems.merge.scores import Labelled, averaged, barriers, predicted
from replica.lab.problems.problem import Options, Split


def given(trial: Trial, folder: Folder, digest: str, options: Options, split: Split) -> Trained:
    """The user's networks: of each one's rows some are held out for the method and some tested, in random order."""
    key = (trial, digest, split, options["held_out"], options["test"])
    return kept(key, lambda: _given(trial, folder, options, split))


def _given(trial: Trial, folder: Folder, options: Options, split: Split) -> Trained:
    made = [loaded(folder.build, name, weights).to(trial.device) for name, weights in folder.networks.items()]
    held_out: list[Labelled] = []
    tests: list[Labelled] = []
    for name, net in zip(folder.networks, made, strict=True):
        X, y = folder.rows[name]
        order = trial.rng(f"rows {len(y)}").permutation(len(y))
        count = min(max(1, round(float(options["test"]) * len(y))), len(y) - 2)
        tested, left = order[:count], order[count:]
        if split == "validation":
            count = max(1, len(left) // 5)
            tested, left = left[:count], left[count:]
        shown = left[: int(options["held_out"])]
        if trial.scale == "smoke":
            shown, tested = shown[:20], tested[:50]
        for rows, parts in ((shown, held_out), (tested, tests)):
            parts.append((torch.tensor(X[rows], device=trial.device), torch.tensor(y[rows], device=trial.device)))
        scores = predicted(net, held_out[-1][0], f"{name}.safetensors")
        if y.max() >= scores.shape[1]:
            raise ReplicaError(
                f"{name}: its network tells {scores.shape[1]} classes apart, but its rows hold class {y.max()}."
            )
    base = (
        averaged(made) if folder.base is None else loaded(folder.build, Path(BASE).stem, folder.base).to(trial.device)
    )
    return Trained(list(folder.networks), base, made, held_out, tests, barriers(made, tests))


def loaded(build: Path, name: str, weights: Mapping[str, Any]) -> nn.Module:
    """A network of the user's with its weights, in evaluation mode.

    Raises:
        ReplicaError: If the file cannot be run, makes no network, or one of other weights.
    """
    make = _namespace(str(build), build.stat().st_mtime_ns).get("build")
    if not callable(make):
        raise ReplicaError(f"{build} has no function build(); wanted one that makes a network without arguments.")
    try:
        net = make()
    except Exception as error:
        raise ReplicaError(f"{build}: build() raised {type(error).__name__}: {printable(error, 300)}.") from error
    if not isinstance(net, nn.Module):
        raise ReplicaError(f"{build}: build() gave {type(net).__name__}; wanted a torch.nn.Module.")
    try:
        net.load_state_dict({key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in weights.items()})
    except RuntimeError as error:
        told = " ".join(str(error).split()).partition(": ")[2]
        raise ReplicaError(
            f"{name}.safetensors does not fit the network of {BUILD}: {printable(told, 300)}."
        ) from error
    return net.eval()


@lru_cache(maxsize=4)
def _namespace(path: str, changed: int) -> dict[str, Any]:
    """What the user's file defines; modules beside it can be imported."""
    spec = spec_from_loader(f"replica_user_networks_{abs(hash(path))}", loader=None, origin=path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = path
    sys.modules[spec.name] = module
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ReplicaError(f"{path} cannot be run: {type(error).__name__}: {printable(error, 300)}.") from error
    return module.__dict__
