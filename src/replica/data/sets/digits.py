"""The handwritten digits that ship with scikit-learn."""

from __future__ import annotations

import numpy as np

from replica.data.sets.images import Images


def digits() -> Images:
    """Read the 1,797 handwritten digits of 8 × 8 pixels that scikit-learn carries; no network is needed.

    They are the test part of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI, 1998).
    Each pixel counts the ink of a 4 × 4 block, 0 to 16, and is divided by 16 here.

    Returns:
        1,797 images with brightness in [0, 1] and labels 0 to 9, in scikit-learn's order.

    Example:
        >>> digits().values.shape
        (1797, 8, 8)
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Images((bunch.images / 16.0).astype(np.float32), bunch.target.astype(np.int64))
