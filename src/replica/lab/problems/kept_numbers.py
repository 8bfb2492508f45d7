"""How many numbers a fitted learner keeps: its parameters, and training data where it keeps them."""

from __future__ import annotations

import random
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from replica.lab.claims import Trial

_PASSED_OVER = (
    str, bytes, type, types.ModuleType, types.FunctionType, types.MethodType, types.BuiltinFunctionType,
    Trial, np.random.Generator, np.random.RandomState, random.Random,
)  # fmt: skip


def kept_numbers(method: Any) -> int:
    """Count the numbers that a fitted learner needs to predict.

    If it has a whole number ``n_parameters`` of its own, that is taken. Otherwise everything reachable from its
    attributes is gone through: a tensor or array counts its elements (complex ones twice), a float one, a decision tree
    two numbers a split (feature and threshold) and one a class in each leaf. Gradients, optimisers and random states do
    not count.

    Example:
        >>> from types import SimpleNamespace
        >>> kept_numbers(SimpleNamespace(weights=np.zeros((3, 4)), bias=0.5))
        13
    """
    import torch

    own = getattr(method, "n_parameters", None)
    if isinstance(own, (int, np.integer)) and not isinstance(own, bool):
        return int(own)
    total, waiting, seen = 0, [method], {}
    while waiting:
        thing = waiting.pop()
        if thing is None or isinstance(thing, _PASSED_OVER) or id(thing) in seen:
            continue
        seen[id(thing)] = thing  # keeps it alive, so that no identity is given out twice
        if isinstance(thing, (bool, int, np.integer)):
            continue  # settings and counts
        if isinstance(thing, (float, np.floating)):
            total += 1
        elif isinstance(thing, torch.Tensor):
            total += thing.numel() * (2 if thing.is_complex() else 1)
        elif isinstance(thing, np.ndarray):
            if thing.dtype.hasobject:
                waiting.extend(thing.flat)
            elif thing.dtype.names is None:
                total += thing.size * (2 if thing.dtype.kind == "c" else 1)
            else:
                total += _tree_nodes(thing)
        elif isinstance(thing, torch.nn.Module):
            waiting.extend(thing.state_dict().values())
        elif isinstance(thing, (torch.optim.Optimizer, torch.Generator)):
            continue
        elif type(thing).__name__ == "Tree" and type(thing).__module__.startswith("sklearn.tree"):
            total += 2 * int(thing.node_count - thing.n_leaves) + int(thing.n_leaves * thing.max_n_classes)
        elif isinstance(thing, Mapping):
            waiting.extend(thing.values())
        elif isinstance(thing, (list, tuple, set, frozenset)):
            waiting.extend(thing)
        else:
            waiting.extend(_fitted(thing))
    return total


def _fitted(thing: Any) -> list[Any]:
    """What an object keeps; of a scikit-learn estimator only what fitting made, not its settings."""
    attributes = dict(getattr(thing, "__dict__", {}))
    if hasattr(thing, "get_params") and hasattr(thing, "fit"):
        settings = thing.get_params(deep=False)
        attributes = {name: value for name, value in attributes.items() if name not in settings}
        # What only tells of the training, and the optimisers and splits it leaves behind.
        told = {
            "classes_", "n_iter_", "loss_curve_", "validation_scores_", "train_score_", "loss_", "best_loss_", "_optimizer",
            "_random_state", "_label_binarizer", "_label_encoder", "_best_coefs",
            "_best_intercepts", "best_validation_score_",
        }  # fmt: skip
        attributes = {name: value for name, value in attributes.items() if name not in told}
    return list(attributes.values())


def _tree_nodes(nodes: np.ndarray) -> int:
    """Numbers of a gradient-boosted tree: two a split, one a leaf."""
    leaves = int(nodes["is_leaf"].sum()) if "is_leaf" in (nodes.dtype.names or ()) else 0
    return 2 * (len(nodes) - leaves) + leaves
