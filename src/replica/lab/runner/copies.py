"""A method handed over as an object: every trial gets a fresh copy of it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import joblib


@dataclass(frozen=True)
class Copies:
    """Makes copies of an object, such as an estimator ``SVC(C=3)``: unfitted ones where it can be cloned as scikit-learn does."""

    original: Any

    def __call__(self, **settings: Any) -> Any:
        """A fresh copy with these hyperparameters."""
        if not hasattr(self.original, "get_params"):
            return copy.deepcopy(self.original)
        from sklearn.base import clone

        return clone(self.original).set_params(**settings)

    @property
    def __signature__(self) -> inspect.Signature:
        """Its hyperparameters as keywords, with the values it has."""
        values: Mapping[str, Any] = getattr(self.original, "get_params", dict)()
        keyword = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature(
            [inspect.Parameter(n, keyword, default=v) for n, v in values.items() if n.isidentifier()]
        )

    @property
    def space(self) -> Any:
        """The space to tune it in, where it declares one."""
        return getattr(self.original, "space", None)

    def source(self) -> str:
        """What its results depend on: the source of its class, and what it holds; an error where that cannot be told."""
        return f"{inspect.getsource(type(self.original))} {joblib.hash(self())}"


def maker(given: Any, protocol: Sequence[str]) -> Any:
    """What makes a fresh method: the class or function given, or `Copies` of an object that has the methods asked for.

    A classifier of scikit-learn that lacks probabilities alone, such as ``SVC()``, is calibrated on its training rows (Platt's
    sigmoid, five folds), as scikit-learn does.
    """
    if inspect.isclass(given):
        return given
    lack = lacking(given, protocol)
    if [signature.split("(")[0] for signature in lack] == ["predict_proba"] and hasattr(given, "get_params"):
        from sklearn.calibration import CalibratedClassifierCV

        return Copies(CalibratedClassifierCV(given, ensemble=False))
    return given if lack else Copies(given)


def lacking(given: Any, protocol: Sequence[str]) -> list[str]:
    """What of a protocol, such as ``"fit(X, y)"``, an object or class lacks."""
    return [signature for signature in protocol if not callable(getattr(given, signature.split("(")[0], None))]
