"""The user's own files: what is read, and what is refused in one line."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from replica.data import FORMATS, Patterns, read_patterns
from replica.errors import ReplicaError

VALUES = np.array([[0.5, 1.0, -2.0], [3.0, 4.25, 5.0], [1e-3, 7.0, 8.0], [9.0, 1.0, 1.0]])


def refusal(path: Path | str) -> str:
    """The message with which a file is refused: one line that names the file."""
    with pytest.raises(ReplicaError) as caught:
        read_patterns(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "\0" in str(path) or Path(path).name in message
    return message


# --- every format gives the same numbers ---------------------------------------------------------------------------------


def write_csv_like_numpy(path: Path) -> None:
    np.savetxt(path, VALUES, delimiter=",")


WRITERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "npy": (".npy", lambda p: np.save(p, VALUES)),
    "npy fortran": (".npy", lambda p: np.save(p, np.asfortranarray(VALUES))),
    "npy big-endian": (".npy", lambda p: np.save(p, VALUES.astype(">f8"))),
    "npz patterns": (".npz", lambda p: np.savez(p, patterns=VALUES, X=VALUES * 2, y=np.arange(4))),
    "npz X": (".npz", lambda p: np.savez(p, X=VALUES, other=VALUES * 2)),
    "npz only table": (".npz", lambda p: np.savez_compressed(p, data=VALUES, labels=np.arange(4))),
    "csv numpy": (".csv", write_csv_like_numpy),
    "csv numpy blanks": (".csv", lambda p: np.savetxt(p, VALUES)),
    "csv numpy comment": (".csv", lambda p: np.savetxt(p, VALUES, delimiter=",", header="a b c")),
    "csv header": (".csv", lambda p: pd.DataFrame(VALUES, columns=list("abc")).to_csv(p, index=False)),
    "csv pandas numbers": (".csv", lambda p: pd.DataFrame(VALUES).to_csv(p, index=False)),
    "csv pandas index": (".csv", lambda p: pd.DataFrame(VALUES, columns=list("abc")).to_csv(p)),
    "csv pandas default": (".csv", lambda p: pd.DataFrame(VALUES).to_csv(p)),
    "csv bare": (".csv", lambda p: pd.DataFrame(VALUES).to_csv(p, index=False, header=False)),
    "csv R": (".csv", lambda p: p.write_text('"","a","b","c"\n' + "".join(
        f'"{i}",{row[0]},{row[1]},{row[2]}\n' for i, row in enumerate(VALUES.tolist(), 1)))),
    "csv bom, crlf": (".csv", lambda p: p.write_bytes(b"\xef\xbb\xbfa,b,c\r\n" + "".join(
        ",".join(map(str, row)) + "\r\n" for row in VALUES.tolist()).encode())),
    "csv blank lines": (".CSV", lambda p: p.write_text("\n\n" + "\n\n".join(
        ", ".join(map(str, row)) for row in VALUES.tolist()) + "\n\n\n")),
    "csv semicolons, decimal commas": (".csv", lambda p: pd.DataFrame(VALUES, columns=list("abc")).to_csv(
        p, index=False, sep=";", decimal=",")),
    "csv quoted": (".csv", lambda p: pd.DataFrame(VALUES, columns=["a, b", 'c"d', "e"]).to_csv(
        p, index=False, quoting=1)),
    "tsv": (".tsv", lambda p: pd.DataFrame(VALUES, columns=list("abc")).to_csv(p, index=False, sep="\t")),
    "parquet": (".parquet", lambda p: pd.DataFrame(VALUES, columns=list("abc")).to_parquet(p)),
    "parquet index": (".parquet", lambda p: pd.DataFrame(
        VALUES, columns=list("abc"), index=list("wxyz")).to_parquet(p)),
    "parquet named index": (".parquet", lambda p: pd.DataFrame(
        VALUES, columns=list("abc"), index=pd.Index([5, 6, 7, 8], name="id")).to_parquet(p)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_all_formats_agree(tmp_path: Path, name: str) -> None:
    ending, write = WRITERS[name]
    path = tmp_path / f"mine{ending}"
    write(path)
    found = read_patterns(str(path))
    assert isinstance(found, Patterns)
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.float64
    assert found.values.flags.c_contiguous
    assert found.shape == (3,)


@pytest.mark.parametrize(
    ("dtype", "held"),
    [("u1", "f4"), ("i2", "f4"), ("?", "f4"), ("f2", "f4"), ("f4", "f4"), ("i4", "f8"), ("i8", "f8"), ("f8", "f8")],
)
def test_the_type_holds_the_numbers(tmp_path: Path, dtype: str, held: str) -> None:
    array = np.array([[0, 1], [1, 1]], dtype)
    np.save(tmp_path / "a.npy", array)
    found = read_patterns(tmp_path / "a.npy")
    assert found.values.dtype == np.dtype(held)
    np.testing.assert_array_equal(found.values, array)


def test_images_in_an_array_keep_their_shape(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(24).reshape(2, 4, 3))
    found = read_patterns(tmp_path / "a.npy")
    assert found.shape == (4, 3)
    assert found.values.tolist() == [list(range(12)), list(range(12, 24))]


def test_what_was_decided_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame(VALUES).to_csv(path)
    assert read_patterns(path).notes == (
        "the first line read as column names", "left out, as only counts or names the rows: column 1",
    )  # fmt: skip
    path.write_text("1,2\n3,4\n")
    assert read_patterns(path).notes == ("no line of column names",)


def test_numbers_that_look_like_no_header_are_data(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("0,1\n1,0\n")  # two columns: ±, not pandas' names
    assert len(read_patterns(path).values) == 2
    path.write_text("True,False\nFalse,True\n")
    assert read_patterns(path).values.tolist() == [[1, 0], [0, 1]]
    path.write_text("1e3,-.5\n+2.,0x\n")
    assert "line 2, column 2 is '0x', no number" in refusal(path)


# --- images --------------------------------------------------------------------------------------------------------------


def test_a_folder_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    stack = rng.integers(0, 256, (3, 5, 4), np.uint8)
    for name, image in zip(("digit-10.png", "digit-2.bmp", "digit-1.PNG"), stack, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    (tmp_path / "deeper").mkdir()
    found = read_patterns(tmp_path)
    assert found.shape == (5, 4)
    np.testing.assert_array_equal(found.values, stack[::-1].reshape(3, 20))  # 1, 2, 10


def test_colours_transparency_and_depth(tmp_path: Path) -> None:
    red = Image.new("RGB", (2, 2), (255, 0, 0))
    red.save(tmp_path / "1.png")
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "2.png")  # transparent: what one sees is the page
    Image.fromarray(np.full((2, 2), 65535, np.uint16)).save(tmp_path / "3.png")
    Image.new("1", (2, 2), 1).save(tmp_path / "4.png")
    red.convert("P").save(tmp_path / "5.gif")
    found = read_patterns(tmp_path).values
    np.testing.assert_allclose(found[:, 0], [76, 255, 255, 255, 76], atol=1)


def test_images_must_be_of_one_size(tmp_path: Path) -> None:
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    Image.new("L", (5, 3)).save(tmp_path / "b.png")
    assert "b.png is 5 × 3 pixels, a.png 4 × 3; wanted images of one size" in refusal(tmp_path)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(content[: len(content) // 2])
    assert "b.png cannot be read" in refusal(tmp_path)
    (tmp_path / "b.png").write_bytes(b"GIF89a nonsense")
    assert "b.png cannot be read" in refusal(tmp_path)


def test_folders_without_images(tmp_path: Path) -> None:
    assert "is a folder without images; wanted images: .bmp" in refusal(tmp_path)
    (tmp_path / "cats").mkdir()
    Image.new("L", (4, 3)).save(tmp_path / "cats" / "a.png")
    assert "its sub-folder 'cats' has: name that one" in refusal(tmp_path)


# --- sizes are checked first ---------------------------------------------------------------------------------------------


def npy_header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**62, 2**62), (1, 2**31)])
def test_a_header_that_promises_too_much_is_not_believed(tmp_path: Path, shape: tuple[int, int]) -> None:
    (tmp_path / "a.npy").write_bytes(npy_header(shape))
    assert "GiB; wanted at most 2 GiB" in refusal(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("X.npy", npy_header(shape))
    assert "array 'X'" in refusal(tmp_path / "a.npz")


def test_an_archive_is_read_no_further_than_its_header_says(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", npy_header((2, 2)) + bytes(10**7))
    assert read_patterns(tmp_path / "a.npz").values.tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npy", ".npz", "folder"])
def test_the_limit_holds_for_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    array = np.random.default_rng(0).random((50, 8))
    path = tmp_path / f"a{ending}"
    if ending == "folder":
        path.mkdir()
        for i in range(50):
            Image.new("L", (4, 4)).save(path / f"{i}.png")
    else:
        {
            ".csv": lambda: np.savetxt(path, array, "%.3f", delimiter=","),
            ".parquet": lambda: pd.DataFrame(array, columns=list("abcdefgh")).to_parquet(path),
            ".npy": lambda: np.save(path, array),
            ".npz": lambda: np.savez(path, array),
        }[ending]()
    # Parquet's own encoding takes some more than the numbers.
    monkeypatch.setattr(patterns_module(), "LIMIT_BYTES", 10_000 if ending == ".parquet" else 3200)
    read_patterns(path)
    monkeypatch.setattr(patterns_module(), "LIMIT_BYTES", 3199)
    assert "GiB" in refusal(path)


def patterns_module() -> Any:
    import importlib

    return importlib.import_module("replica.data.sets.patterns")


# --- what is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_named_by_their_place(tmp_path: Path, bad: float) -> None:
    values = VALUES.copy()
    values[2, 1] = bad
    np.save(tmp_path / "a.npy", values)
    assert f"the value at (2, 1) (from 0) is {bad}" in refusal(tmp_path / "a.npy")
    pd.DataFrame(values, columns=list("abc")).to_csv(tmp_path / "a.csv", index=False)
    assert f"line 4, column 'b' is {bad}" in refusal(tmp_path / "a.csv")
    pd.DataFrame(values, columns=list("abc")).to_csv(tmp_path / "i.csv")
    assert f"line 4, column 'b' is {bad}" in refusal(tmp_path / "i.csv")
    pd.DataFrame(values, columns=list("abc"), index=list("wxyz")).to_parquet(tmp_path / "a.parquet")
    assert f"row 3, column 'b' is {bad}" in refusal(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n\n3,x\n", "line 4, column 'b' is 'x', no number"),
        ("# made by me\n1,2\n3,oops\n", "line 3, column 2 is 'oops', no number"),
        ("a,b\n1,\n", "line 2, column 'b' is nan"),
        ("a,b,c\n1,2,3\n4,5\n", "line 3 has 2 cells, line 1 has 3; wanted equally many in every line"),
        ("1,2\n3,4,5\n", "line 2 has 3 cells, line 1 has 2"),
        ("1,2\n3\n", "line 2 has 1 cell, line 1 has 2"),
        ("name,b\nx,1\ny,2\n", "line 2, column 'name' is 'x', no number"),
        ("x,1\ny,2\n", "line 1, column 1 is 'x', no number"),
        ("x,y\nz,w\n", "line 2, column 'x' is 'z'"),
        ("1\n2\n3\n", "the table has one column only"),
        ("a\n1\n2\n", "the table has one column only"),
        (",a\n0,1\n1,2\n", "the table has one column only"),
        ("a,b\n", "holds column names but no row of numbers"),
        ("\n  \n", "holds no line of numbers"),
        ("# nothing\n", "holds no line of numbers"),
        ("", "is empty"),
        ('1,"2\n3,4\n', "cannot be read as a table"),
        ('1,"2\n3,4"\n', "holds column names but no row of numbers"),
        ("1,2\n3,1_000\n", "line 2, column 2 is '1_000', no number"),
    ],
)
def test_csv_that_is_no_table_of_numbers(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    assert expected in refusal(path)


@pytest.mark.parametrize("content", [b"PK\x03\x04\0\0\0\0", b"\x89PNG\r\n\x1a\n\xff\1\2", b"1,2\n\xff,\1\n"])
def test_bytes_that_are_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert "is no text" in refusal(path)


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("trapped",)


def test_no_pickle_is_ever_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.npy").write_bytes(pickle.dumps(Trap()))
    assert "is a Python pickle, which is never loaded" in refusal("p.npy")
    Path("z.npz").write_bytes(pickle.dumps(Trap()))
    assert "is a Python pickle" in refusal("z.npz")
    objects = np.empty((1, 2), object)
    objects[:] = [[Trap(), Trap()]]
    np.save("o.npy", objects, allow_pickle=True)
    assert "holds Python objects, which are never loaded" in refusal("o.npy")
    np.savez("o.npz", X=objects)
    assert "array 'X' holds Python objects" in refusal("o.npz")
    Path("p.pkl").write_bytes(pickle.dumps(Trap()))
    assert "the ending '.pkl' is not known" in refusal("p.pkl")
    assert not Path("trapped").exists()


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(5), "the array has shape (5,); wanted two axes or more"),
        (np.float64(3), "the array has shape ()"),
        (np.zeros((0, 4)), "is empty, of shape (0, 4)"),
        (np.zeros((4, 0)), "is empty, of shape (4, 0)"),
        (np.zeros((4, 1)), "one column only"),
        (np.zeros((4, 2), complex), "holds complex128; wanted real numbers"),
        (np.full((4, 2), "a"), "holds <U1"),
        (np.zeros((4, 2), "M8[s]"), "holds datetime64[s]"),
        (np.zeros((4, 2), [("x", "f4")]), "holds [('x', '<f4')]"),
    ],
)
def test_arrays_that_are_no_patterns(tmp_path: Path, array: np.ndarray[Any, Any], expected: str) -> None:
    np.save(tmp_path / "a.npy", array)
    assert expected in refusal(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", X=array)
    assert expected.removeprefix("the array ") in refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".parquet"])
def test_files_cut_off_anywhere(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    ends_with = {".npy": np.save, ".npz": np.savez}
    if ending == ".parquet":
        pd.DataFrame(VALUES, columns=list("abc")).to_parquet(path)
    else:
        ends_with[ending](path, VALUES)
    content = path.read_bytes()
    for length in (0, 1, 5, 8, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        refusal(path)


def test_damaged_bytes_never_crash(tmp_path: Path) -> None:
    """Every file with bytes overwritten at random is either read or refused in one line."""
    rng = np.random.default_rng(0)
    messages: list[str] = []
    for name, (ending, write) in WRITERS.items():
        path = tmp_path / f"{name}{ending}"
        write(path)
        content = path.read_bytes()
        for _ in range(8):
            broken = bytearray(content)
            for at in rng.integers(0, len(content), 3):
                broken[at] = rng.integers(256)
            path.write_bytes(bytes(broken))
            try:
                found = read_patterns(path)
            except ReplicaError as error:
                messages.append(str(error))
            else:
                assert np.isfinite(found.values).all()
    assert len(messages) > 30
    assert not [message for message in messages if "\n" in message]


def test_wrong_endings_are_put_right(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, VALUES)
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    assert "give it the ending .npz" in refusal(tmp_path / "a.npy")
    buffer = io.BytesIO()
    np.save(buffer, VALUES)
    (tmp_path / "b.npz").write_bytes(buffer.getvalue())
    assert "give it the ending .npy" in refusal(tmp_path / "b.npz")
    (tmp_path / "c.npy").write_text("1,2\n3,4\n")
    assert "is not what its ending says" in refusal(tmp_path / "c.npy")
    (tmp_path / "d.parquet").write_text("1,2\n3,4\n")
    assert "cannot be read as Parquet" in refusal(tmp_path / "d.parquet")
    (tmp_path / "e.xlsx").write_text("")
    assert "wanted " + ", ".join(FORMATS) in refusal(tmp_path / "e.xlsx")


def test_archives_that_leave_open_which_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", first=VALUES, second=VALUES)
    assert "not clear which array holds the patterns: 'first' (4, 3), 'second' (4, 3)" in refusal(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    assert "holds no array" in refusal(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (list("wxyz"), "row 1, column 'odd' is 'w', no number"),
        (
            [[1.0]] * 4,
            "column 'odd' is odd (it holds values of type list); wanted one value a cell: leave that column out",
        ),
        ([{"x": 1}] * 4, "it holds values of type struct"),
        ([b"x"] * 4, "it holds values of type bytes"),
        (pd.date_range("2020", periods=4), "column 'odd' is '2020-01-01', no number"),
    ],
)
def test_parquet_columns_of_other_kinds(tmp_path: Path, column: Any, kind: str) -> None:
    frame = pd.DataFrame({"a": [1.0] * 4, "b": [2] * 4, "odd": column})
    frame.to_parquet(tmp_path / "a.parquet")
    message = refusal(tmp_path / "a.parquet")
    assert kind in message
    assert read_patterns(tmp_path / "a.parquet", drop=["odd"]).shape == (2,)


def test_parquet_with_gaps_and_mixed_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.array([1, 2], "Int64"), "b": [True, False], "c": np.float32([0.5, 1])})
    frame.to_parquet(tmp_path / "a.parquet")
    assert read_patterns(tmp_path / "a.parquet").values.tolist() == [[1, 1, 0.5], [2, 0, 1]]
    frame["a"] = pd.array([1, None], "Int64")
    frame.to_parquet(tmp_path / "a.parquet")
    assert "row 2, column 'a' is nan" in refusal(tmp_path / "a.parquet")


def test_a_missing_file_gets_a_suggestion(tmp_path: Path) -> None:
    np.save(tmp_path / "weights.npy", VALUES)
    assert "does not exist; did you mean weights.npy?" in refusal(tmp_path / "wieghts.npy")
    assert "is the path right, seen from" in refusal(tmp_path / "quite-other.csv")
    assert "neither does its folder" in refusal(tmp_path / "nowhere" / "a.npy")


def test_odd_paths(tmp_path: Path) -> None:
    assert "a\\x00b.npy" in refusal("a\0b.npy")
    odd = tmp_path / "two\nlines.csv"
    odd.write_text("1\n")
    with pytest.raises(ReplicaError) as caught:
        read_patterns(odd)
    assert "two\\nlines.csv" in str(caught.value)
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is neither a file nor a folder" in refusal(tmp_path / "pipe.csv")
