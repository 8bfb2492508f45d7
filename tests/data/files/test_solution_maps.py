"""The user's own solution maps: what is read, and what is refused in one line."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.io import savemat
from scipy.sparse import coo_array

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


@pytest.mark.parametrize(
    ("inputs", "outputs", "channels"),
    [((6, 9, 8, 3), (6, 9, 8, 1), (3, 1)), ((6, 9, 8), (6, 9, 8, 7), (1, 7)), ((6, 9, 4), (6, 9), (4, 1))],
)
def test_channels_come_last_where_nothing_else_fits(inputs: Any, outputs: Any, channels: Any) -> None:
    a, u = noise(*inputs), noise(*outputs)
    found = read_solution_map((a, u))
    assert (found.inputs.shape[1], found.outputs.shape[1]) == channels
    if a.ndim == u.ndim:
        np.testing.assert_allclose(np.moveaxis(found.inputs, 1, -1), a, rtol=1e-6)
    assert found.notes == ("the last axis read as channels",)


@pytest.mark.parametrize(
    ("inputs", "outputs", "asked"),
    [
        (
            (6, 9, 9, 8),
            (6, 9, 9, 8),
            "can be read as n,c,x,y or as n,x,y,c; say which: --axes n,c,x,y or --axes n,x,y,c",
        ),
        ((6, 9, 9, 9), (6, 9, 9), "can be read as n,c,x,y or as n,x,y,c"),
        ((6, 9, 9, 8), (6, 9, 9, 7), "other axes named, as in --axes n,x,y,t"),
        ((6, 9, 8), (6, 9, 7), "other axes named, as in --axes n,x,y,t"),
    ],
)
def test_where_time_may_come_last_it_is_asked(inputs: Any, outputs: Any, asked: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        read_solution_map((noise(*inputs), noise(*outputs)))
    assert asked in str(caught.value)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(order=st.permutations("nctxy"), grid=st.integers(1, 2), compact=st.booleans())
def test_axes_in_any_order(order: list[str], grid: int, compact: bool) -> None:
    order = [axis for axis in order if grid == 2 or axis != "y"]
    plain = [axis for axis in order if axis not in "ct"]
    sizes = {"n": 6, "c": 2, "t": 3, "x": 7, "y": 8}
    inputs, outputs = (noise(*(sizes[axis] for axis in axes)) for axes in (order, plain))
    found = read_solution_map((inputs, outputs), "".join(order) if compact else f"({', '.join(order).upper()})")
    channels = [axis for axis in order if axis in "ct"]
    wanted = np.einsum(f"{''.join(order)}->n{''.join(channels)}{''.join(plain).replace('n', '')}", inputs)
    np.testing.assert_allclose(found.inputs, wanted.reshape(6, 6, *wanted.shape[3:]), rtol=1e-6)
    assert found.outputs.shape == (6, 1, *wanted.shape[3:])
    assert "steps in time as channels" in found.notes[0]


@pytest.mark.parametrize("axes", ["n,x,z", "n,x,x", "x,y", "nn", "1", "n,y", "n,c", "n,x,y" * 2000])
def test_axes_that_are_none(axes: str) -> None:
    with pytest.raises(ReplicaError, match=r"^Option axes is '.*; wanted n, x and perhaps y") as caught:
        read_solution_map((noise(6, 9, 9), noise(6, 9, 9)), axes)
    assert len(str(caught.value)) < 300
    with pytest.raises(ReplicaError, match="leave --axes out"):
        Operator().load("darcy", {"axes": "n,x,y"})


@pytest.mark.parametrize("version", [{"format": "4"}, {"format": "5"}, {"do_compression": True}])
@pytest.mark.parametrize("names", [("inputs", "outputs"), ("a", "u"), ("coeff", "sol")])
def test_files_of_matlab(tmp_path: Path, version: Any, names: Any) -> None:
    a, u = noise(6, 9), noise(6, 9)
    savemat(tmp_path / "mine.mat", {names[0]: a, names[1]: u, "boundary": "periodic"}, **version)
    found = read_solution_map(tmp_path / "mine.mat")
    np.testing.assert_allclose(found.inputs[:, 0], a, rtol=1e-6)
    np.testing.assert_allclose(found.outputs[:, 0], u, rtol=1e-6)
    assert found.boundary == "periodic"


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"a": np.eye(6) + 1j, "u": np.eye(6)}, "array 'a' holds complex128; wanted real numbers"),
        ({"a": np.array([{"x": 1}], object), "u": np.eye(6)}, "array 'a' holds a cell, a struct or a sparse matrix"),
        ({"a": coo_array(np.eye(6)), "u": np.eye(6)}, "array 'a' holds a cell, a struct or a sparse matrix"),
        (b"nonsense" * 100, "cannot be read as MATLAB's"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", "MATLAB"),
    ],
)
def test_files_of_matlab_that_are_refused(tmp_path: Path, held: Any, said: str) -> None:
    path = tmp_path / "mine.mat"
    if isinstance(held, bytes):
        path.write_bytes(held)
    else:
        savemat(path, held)
    with pytest.raises(ReplicaError) as caught:
        read_solution_map(path)
    assert said in str(caught.value)
    assert "mine.mat: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_files_of_matlab(tmp_path: Path) -> None:
    savemat(tmp_path / "mine.mat", {"a": noise(6, 9), "u": noise(6, 9)}, do_compression=True)
    whole = (tmp_path / "mine.mat").read_bytes()
    messages = []
    for at in np.linspace(0, len(whole) - 1, 40).astype(int):
        broken = bytearray(whole)
        broken[at : at + 4] = bytes(b ^ 0xFF for b in broken[at : at + 4])
        (tmp_path / "mine.mat").write_bytes(broken)
        try:
            read_solution_map(tmp_path / "mine.mat")
        except ReplicaError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all("mine.mat: " in message and "\n" not in message for message in messages)


def test_hdf5_of_matlab(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    a, u, path = noise(6, 9, 8), noise(6, 9, 8, 7), tmp_path / "mine.mat"
    with h5py.File(path, "w", userblock_size=512) as file:  # MATLAB counts the first axis fastest
        file["a"], file["u"] = a.T, u.T
        file["boundary"] = np.frombuffer("periodic".encode("utf-16-le"), np.uint16)[:, None]
        file["boundary"].attrs["MATLAB_class"] = np.bytes_("char")
    found = read_solution_map(path)
    np.testing.assert_allclose(found.inputs[:, 0], a, rtol=1e-6)
    np.testing.assert_allclose(found.outputs, np.moveaxis(u, -1, 1), rtol=1e-6)
    assert found.boundary == "periodic"


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
