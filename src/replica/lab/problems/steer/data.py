"""Data of the problem steer: which generator is to be steered, and by which reward."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replica.errors import ReplicaError
from replica.lab.catalogue.printable import printable
from replica.lab.claims import Trial
from replica.lab.problems.problem import Options, Split

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from replica.lab.problems.steer.laws import Law

LETTERS = 4
SMOKE_STEPS, SMOKE_LENGTH = 5, 4


@dataclass(frozen=True)
class Task:
    """A generator that each trial draws anew, and its reward.

    Args:
        kind: ``"mixture"`` or ``"chain"``.
        source: The user's file and function with the reward, ``"file.py:name"``; the problem's own where empty.
        code: That file's text, by which a changed one is known.
    """

    kind: str
    source: str = ""
    code: str = ""
    notes: tuple[str, ...] = ()

    def made(self, trial: Trial, options: Options, split: Split) -> tuple[Law, Callable[[Tensor], Tensor]]:
        """The trial's law and reward; others for validation."""
        import numpy as np
        import torch

        from replica.lab.problems.steer.laws import ChainLaw, MixtureLaw

        rng, device, steps = trial.rng(f"{split} law"), trial.device, int(options["steps"])
        if self.kind == "mixture":
            angle = rng.uniform(0, 2 * math.pi)
            turns = angle + torch.arange(8, device=device) * math.pi / 4
            means = 2 * torch.stack((turns.cos(), turns.sin()), 1)
            law: Law = MixtureLaw(means, 0.3, min(steps, SMOKE_STEPS) if trial.scale == "smoke" else steps)
            slope = torch.tensor(rng.standard_normal(2), dtype=torch.float32, device=device)
            own = staircase(slope / slope.norm(), smooth=options["gradient"] == "yes")
        else:
            drawn = 0.75 * rng.dirichlet(np.ones(LETTERS), LETTERS + 1) + 0.25 / LETTERS
            chances = torch.tensor(drawn, dtype=torch.float32, device=device)
            length = int(options["length"])
            law = ChainLaw(chances[0], chances[1:], min(length, SMOKE_LENGTH) if trial.scale == "smoke" else length)
            own = motif_count(torch.tensor(rng.permutation(LETTERS)[:2], device=device))
        return law, checked(self.source, own_reward(self.source)) if self.source else own


def staircase(slope: Tensor, smooth: bool) -> Callable[[Tensor], Tensor]:
    """Whole units along a direction, rounded down; where it is to be differentiated the steps are smooth."""

    def reward(points: Tensor) -> Tensor:
        along = points @ slope
        return along - (2 * math.pi * along).sin() / (2 * math.pi) if smooth else along.floor()

    return reward


def motif_count(motif: Tensor) -> Callable[[Tensor], Tensor]:
    """How often a motif occurs in each sequence."""

    def reward(tokens: Tensor) -> Tensor:
        return (tokens.unfold(1, len(motif), 1) == motif).all(2).sum(1).float()

    return reward


def read(path: Path, kind: str) -> Task:
    """The user's reward, ``file.py:name``.

    Raises:
        ReplicaError: In one line, what is wrong with it and what is wanted.
    """
    name, colon, function = str(path).rpartition(":")
    wanted = "wanted a reward as file.py:name, a function of a batch of samples that gives a number each"
    if not (colon and name.endswith(".py") and function.isidentifier()):
        raise ReplicaError(f"{printable(str(path), 100)} names no reward; {wanted}.")
    file = Path(name).expanduser()
    if not file.is_file():
        raise ReplicaError(f"There is no file {printable(name, 100)}; {wanted}.")
    source = f"{file.resolve()}:{function}"
    own_reward(source)
    return Task(kind, source, file.read_text("utf-8"))


def own_reward(source: str) -> Callable[[Any], Any]:
    """The function of this name in the user's file.

    Raises:
        ReplicaError: If the file cannot be run, or has no such function.
    """
    path, _, name = source.rpartition(":")
    spec = spec_from_loader(f"replica_user_reward_{abs(hash(path))}", loader=None, origin=path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = path
    sys.modules[spec.name] = module
    try:
        exec(compile(Path(path).read_bytes(), path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ReplicaError(f"{path} cannot be run: {type(error).__name__}: {printable(error, 300)}.") from error
    function: Callable[[Any], Any] | None = module.__dict__.get(name)
    if not callable(function):
        raise ReplicaError(f"{path} has no function {name!r:.60}; wanted the reward, a function of a batch of samples.")
    return function


def checked(source: str, reward: Callable[[Any], Any]) -> Callable[[Tensor], Tensor]:
    """The user's reward, its outputs seen to be a finite number for each sample."""
    import torch

    def call(states: Tensor) -> Tensor:
        found = torch.as_tensor(reward(states), device=states.device)
        if found.shape != (len(states),):
            shape = tuple(found.shape)
            raise ReplicaError(f"{source} gave shape {shape} for {len(states)} samples; wanted ({len(states)},).")
        if found.is_complex() or not bool(found.isfinite().all()):
            raise ReplicaError(f"{source} gave a number that is not finite; wanted finite real numbers.")
        return found.float()

    return call
