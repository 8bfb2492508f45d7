"""Data of the problem similarity: activations by net and layer, of the user's nets, and how many nets a trial trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replica.data.files.arrays import named_arrays
from replica.data.sets.patterns import refuse
from replica.lab.claims import Scale
from replica.lab.problems.problem import Options

FORMATS = (".npz",)
TRAINED_ON = 1200
"""Digits that nets are trained on; stimuli are drawn from the others."""
STIMULI = 1797 - TRAINED_ON
_WANTED = (
    "wanted a file written by numpy.savez with an array for each layer of each net, named net/layer, such as 'a/conv1'"
)


@dataclass(frozen=True)
class Nets:
    """Activations of several nets with layers of the same names, on the same stimuli.

    Args:
        layers: The layers' names, in order.
        activations: By net, of each layer, float32 of shape ``(stimuli, units)``.
        notes: What a reader must know besides.
    """

    layers: tuple[str, ...]
    activations: Mapping[str, tuple[NDArray[np.float32], ...]] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.activations.values()))[0])


def read(source: Path | Any) -> Nets:
    """Read activations from an ``.npz`` file, an array for each layer of each net, named ``net/layer``.

    Layers come in the order in which the first net has them. Axes after the first, such as channels and positions, are laid
    flat.

    Raises:
        ReplicaError: In one line that names the file, what is wrong with it and what is wanted.
    """
    opened = named_arrays(source, FORMATS, _WANTED)
    nets: dict[str, dict[str, str]] = {}
    for name in opened.headers:
        net, slash, layer = name.partition("/")
        if not (net and slash and layer):
            raise refuse(opened.source, f"holds an array {name!r:.60}", _WANTED)
        nets.setdefault(net, {})[layer] = name
    if len(nets) < 2:
        raise refuse(opened.source, f"holds {len(nets)} net", "wanted two or more, arrays named net/layer")
    first, *others = nets
    layers = tuple(nets[first])
    if len(layers) < 2:
        raise refuse(opened.source, f"net {first!r:.40} has {len(layers)} layer", "wanted two or more")
    for net in others:
        if set(nets[net]) != set(layers):
            odd = sorted(set(nets[net]) ^ set(layers))[0]
            wrong = f"nets {first!r:.40} and {net!r:.40} differ in layer {odd!r:.40}"
            raise refuse(opened.source, wrong, "wanted the same layers in all nets")
    arrays = opened.read(opened.headers)
    count = arrays[nets[first][layers[0]]].shape[:1]
    for name, array in arrays.items():
        if array.ndim < 2 or not array.size:
            wanted = "wanted stimuli on the first axis and units on the others"
            raise refuse(opened.source, f"array {name!r:.60} has shape {array.shape}", wanted)
        if array.shape[:1] != count:
            wrong = f"{name!r:.60} has {array.shape[0]:,} stimuli and {nets[first][layers[0]]!r:.60} has {count[0]:,}"
            raise refuse(opened.source, wrong, "wanted the same stimuli in all arrays, in the same order")
        flat = arrays[name] = array.reshape(len(array), -1).astype(np.float32)
        if not np.isfinite(flat).all():
            row, unit = (int(place) for place in np.argwhere(~np.isfinite(flat))[0])
            wrong = f"{name!r:.60} holds {flat[row, unit]} at stimulus {row}, unit {unit} (from 0)"
            raise refuse(opened.source, wrong, "wanted finite numbers")
        if (flat == flat[0]).all():
            raise refuse(
                opened.source, f"{name!r:.60} is the same for all stimuli", "wanted layers that tell them apart"
            )
    return Nets(layers, {net: tuple(arrays[nets[net][layer]] for layer in layers) for net in nets})


def sizes(options: Options, scale: Scale) -> tuple[int, int, int, int]:
    """Nets, their hidden layers, units of each, and passes over the digits, at a scale."""
    count, depth, width, epochs = (int(options[name]) for name in ("nets", "depth", "width", "epochs"))
    return (2, min(depth, 2), min(width, 8), 1) if scale == "smoke" else (count, depth, width, epochs)
