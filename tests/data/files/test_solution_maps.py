"""The user's own solution maps: what is read, and what is refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replica.data import read_solution_map
from replica.data.sets import patterns
from replica.errors import ReplicaError
from replica.lab.problems.operator.problem import Operator

RNG = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return RNG.normal(size=shape)


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("inputs", "outputs", "grid", "channels"),
    [
        ((6, 20), (6, 20), (20,), (1, 1)),
        ((6, 3, 20), (6, 20), (20,), (3, 1)),
        ((6, 7, 20), (6, 20), (20,), (7, 1)),  # seven channels: the outputs say so
        ((6, 2, 20), (6, 2, 20), (20,), (2, 2)),
        ((6, 7, 20), (6, 7, 20), (7, 20), (1, 1)),
        ((6, 9, 9), (6, 2, 9, 9), (9, 9), (1, 2)),
        ((6, 1, 9, 12), (6, 1, 9, 12), (9, 12), (1, 1)),
    ],
)
def test_shapes(tmp_path: Path, inputs: Any, outputs: Any, grid: Any, channels: Any) -> None:
    a, u = noise(*inputs), noise(*outputs)
    found = read_solution_map(saved(tmp_path, inputs=a, outputs=u))
    assert found.grid == grid
    assert (found.inputs.shape[1], found.outputs.shape[1]) == channels
    assert found.boundary == "unknown"
    assert found.inputs.dtype == np.float32
    np.testing.assert_allclose(found.inputs.ravel(), a.ravel(), rtol=1e-6)
    np.testing.assert_allclose(found.outputs.ravel(), u.ravel(), rtol=1e-6)
    assert found.spacing == tuple(1 / (nodes - 1) for nodes in grid)


@pytest.mark.parametrize("boundary", ["periodic", "Dirichlet", np.array(["neumann"]), np.bytes_(b"periodic")])
def test_boundaries(tmp_path: Path, boundary: Any) -> None:
    found = read_solution_map(saved(tmp_path, inputs=noise(4, 8), outputs=noise(4, 8), boundary=boundary))
    assert found.boundary in ("periodic", "dirichlet", "neumann")
    assert found.spacing == ((1 / 8,) if found.boundary == "periodic" else (1 / 7,))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, bool])
def test_numbers_of_any_kind(tmp_path: Path, dtype: Any) -> None:
    values = RNG.integers(0, 2, (5, 8)).astype(dtype)
    values[:, 0] = 1
    values[0, 1:] = 0
    assert read_solution_map(saved(tmp_path, inputs=values, outputs=values)).inputs.dtype == np.float32


GOOD = noise(6, 9, 9)
CASES: list[tuple[dict[str, Any], str]] = [
    ({"x": GOOD}, "holds 'x', but no 'inputs' and no 'outputs'"),
    ({"inputs": GOOD}, "holds 'inputs', but no 'outputs'"),
    ({"inputs": GOOD, "outputs": noise(5, 9, 9)}, "there are 6 inputs and 5 outputs; wanted one output for each"),
    ({"inputs": GOOD[:3], "outputs": GOOD[:3]}, "there are 3 samples; wanted 4 or more"),
    ({"inputs": GOOD, "outputs": noise(6, 9, 8)}, "inputs have shape (6, 9, 9) and outputs (6, 9, 8); wanted (count"),
    ({"inputs": noise(6), "outputs": noise(6)}, "array 'inputs' has shape (6,); wanted two axes or more"),
    ({"inputs": noise(6, 3, 4), "outputs": noise(6, 3, 4)}, "with 5 nodes or more"),
    ({"inputs": noise(6, 2, 5, 5, 5), "outputs": noise(6, 2, 5, 5, 5)}, "of one or two axes"),
    ({"inputs": noise(6, 0), "outputs": noise(6, 0)}, "is empty, of shape (6, 0)"),
    (
        {"inputs": GOOD, "outputs": np.where(GOOD[2, 3, 4] == GOOD, np.nan, GOOD)},
        "outputs at (2, 3, 4) (from 0) is nan",
    ),
    ({"inputs": GOOD * 1e300, "outputs": GOOD}, "wanted finite numbers that float32 holds"),
    ({"inputs": GOOD, "outputs": np.ones((6, 9, 9))}, "all outputs are the same; wanted samples that differ"),
    ({"inputs": np.repeat(GOOD[:1], 6, axis=0), "outputs": GOOD}, "all inputs are the same"),
    ({"inputs": GOOD, "outputs": GOOD * (np.arange(6) != 4)[:, None, None]}, "output 4 (from 0) is 0 everywhere"),
    ({"inputs": GOOD + 1j, "outputs": GOOD}, "array 'inputs' holds complex128; wanted real numbers"),
    ({"inputs": np.array(["a"] * 6), "outputs": GOOD}, "array 'inputs' holds <U1; wanted real numbers"),
    ({"inputs": GOOD.astype(object), "outputs": GOOD}, "holds Python objects, which are never loaded"),
    ({"inputs": GOOD, "outputs": GOOD, "boundary": "robin"}, "'boundary' is 'robin'; wanted one of dirichlet, neumann"),
    ({"inputs": GOOD, "outputs": GOOD, "boundary": 3}, "'boundary' has shape () and type int64"),
    ({"inputs": GOOD, "outputs": GOOD, "boundary": ["periodic"] * 2}, "'boundary' has shape (2,)"),
]


@pytest.mark.parametrize(("arrays", "expected"), CASES, ids=[case[1][:40] for case in CASES])
def test_what_is_refused(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(ReplicaError) as caught:
        Operator().load(str(path), {})
    assert expected in str(caught.value)
    assert "mine.npz: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    def refused(path: Path, expected: str) -> None:
        with pytest.raises(ReplicaError) as caught:
            Operator().load(str(path), {})
        assert expected in str(caught.value)
        assert "\n" not in str(caught.value)

    np.save(tmp_path / "one.npy", GOOD)
    refused(tmp_path / "one.npy", "the ending '.npy' is not known; wanted a file written by numpy.savez")
    (tmp_path / "one.npy").rename(tmp_path / "named.npz")
    refused(tmp_path / "named.npz", "is a single array, not an archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    refused(tmp_path / "empty.npz", "is empty")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps([1]))
    refused(tmp_path / "pickle.npz", "is a Python pickle, which is never loaded")
    whole = saved(tmp_path, inputs=GOOD, outputs=GOOD).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "cannot be read as NumPy's")
    refused(tmp_path / "mime.npz", "does not exist; did you mean mine.npz")
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz", "is a folder; wanted a file written by")
    with zipfile.ZipFile(tmp_path / "liar.npz", "w") as archive:
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 9, 9)})
        archive.writestr("inputs.npy", stream.getvalue())
        archive.writestr("outputs.npy", stream.getvalue())
    refused(tmp_path / "liar.npz", "wanted at most 2 GiB")


def test_both_arrays_share_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, inputs=GOOD, outputs=GOOD)
    monkeypatch.setattr(patterns, "LIMIT_BYTES", 1.5 * GOOD.nbytes)
    with pytest.raises(ReplicaError, match="'inputs' with array 'outputs' needs"):
        read_solution_map(path)


def test_the_digest_is_of_all_that_counts(tmp_path: Path) -> None:
    outputs = noise(6, 9, 9)
    digests = [
        Operator().load(str(saved(tmp_path, **arrays)), {}).digest
        for arrays in (
            {"inputs": GOOD, "outputs": outputs},
            {"inputs": GOOD, "outputs": outputs, "boundary": "periodic"},
            {"inputs": outputs, "outputs": GOOD},
            {"inputs": GOOD[:5], "outputs": outputs[:5]},
            {"inputs": GOOD, "outputs": outputs},
        )
    ]
    assert digests[0] == digests[-1]
    assert len(set(digests)) == 4
    description = Operator().load(str(saved(tmp_path, inputs=GOOD, outputs=outputs)), {}).description
    parts = description.split("; ")
    assert parts[0] == "6 samples on 9 × 9 nodes, boundary unknown, from mine.npz"
    assert parts[1:] == [
        "9 × 9 read as the grid, not as 9 channels of 9 nodes",
        "by default 5 to train on and 1 to test on",
    ]
