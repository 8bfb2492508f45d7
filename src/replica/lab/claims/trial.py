"""A trial: one run of a claim or an entry with one seed, at one scale, on one device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
Scale = Literal["smoke", "laptop", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True)
class Trial:
    """All that one run may depend on: its seed, its scale, its device. Every random number comes from here.

    Args:
        seed: The replicate; trials of one comparison that share a seed share data and noise, which pairs them.
        scale: ``"smoke"`` (seconds, not judged), ``"laptop"`` (judged) or ``"full"`` (the paper's own size).
        device_name: Where tensors live, as PyTorch names it (``"cpu"``, ``"cuda"``).

    Example:
        >>> trial = Trial(seed=3, scale="smoke")
        >>> trial.pick(smoke=8, laptop=512, full=4096)
        8
        >>> bool(trial.rng("noise").random() == Trial(3, "smoke").rng("noise").random())
        True
    """

    seed: int
    scale: Scale = "laptop"
    device_name: str = "cpu"

    def pick(self, *, smoke: T, laptop: T, full: T) -> T:
        """Return the value meant for this trial's scale."""
        return {"smoke": smoke, "laptop": laptop, "full": full}[self.scale]

    @property
    def device(self) -> torch.device:
        """The device as PyTorch knows it."""
        import torch

        return torch.device(self.device_name)

    def rng(self, name: str = "") -> np.random.Generator:
        """NumPy's generator of the stream ``name``: independent of every other stream and every other seed."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=_spawn_key(name)))

    def generator(self, name: str = "", device: str | torch.device | None = None) -> torch.Generator:
        """PyTorch's generator of the stream ``name``, on this trial's device unless another is named."""
        import torch

        entropy = np.random.SeedSequence(self.seed, spawn_key=_spawn_key(name)).generate_state(1, np.uint64)[0]
        return torch.Generator(device or self.device_name).manual_seed(int(entropy >> np.uint64(1)))


def _spawn_key(name: str) -> tuple[int, ...]:
    # hash() differs from process to process; a digest does not.
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return (int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little"))
