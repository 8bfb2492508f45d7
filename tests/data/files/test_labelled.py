"""The user's labelled data: what is read, what is decided, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from replica.data import Labelled, read_labelled
from replica.errors import ReplicaError

FRAME = pd.DataFrame(
    {
        "length": [1.5, 2.0, np.nan, 4.0, 5.0, 6.5],
        "colour": ["red", "blue", "red", None, "blue", "red"],
        "wild": [True, False, True, True, False, False],
        "species": ["cat", "dog", "cat", "dog", "cat", "dog"],
    }
)


def refusal(path: Path | str, target: str = "") -> str:
    with pytest.raises(ReplicaError) as caught:
        read_labelled(path, target)
    message = str(caught.value)
    assert "\n" not in message
    assert Path(path).name in message
    return message


def check(found: Labelled) -> None:
    assert isinstance(found.features, pd.DataFrame)
    assert list(found.features.columns) == ["length", "colour", "wild"]
    np.testing.assert_array_equal(found.features["length"], FRAME["length"])
    assert list(found.features["colour"].cat.categories) == ["blue", "red"]
    assert list(found.features["colour"].isna()) == [False, False, False, True, False, False]
    assert list(found.features["wild"]) == [1, 0, 1, 1, 0, 0]
    assert found.classes == ("cat", "dog")
    assert list(found.labels) == [0, 1, 0, 1, 0, 1]
    assert "2 cells missing" in found.notes


WRITERS = {
    "csv": (".csv", lambda p: FRAME.to_csv(p, index=False)),
    "csv with index": (".csv", lambda p: FRAME.to_csv(p)),
    "csv marks": (".csv", lambda p: FRAME.to_csv(p, index=False, na_rep="?")),
    "csv semicolons": (".csv", lambda p: FRAME.to_csv(p, index=False, sep=";", decimal=",")),
    "csv bars, bom": (".csv", lambda p: FRAME.to_csv(p, index=False, sep="|", encoding="utf-8-sig")),
    "tsv": (".tsv", lambda p: FRAME.to_csv(p, index=False, sep="\t")),
    "parquet": (".parquet", lambda p: FRAME.to_parquet(p)),
    "parquet with index": (".parquet", lambda p: FRAME.set_axis(list("abcdef")).to_parquet(p)),
    "parquet categories": (".parquet", lambda p: FRAME.astype({"colour": "category"}).to_parquet(p)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_tables_of_every_format_are_read_alike(tmp_path: Path, name: str) -> None:
    ending, write = WRITERS[name]
    path = tmp_path / f"animals{ending}"
    write(path)
    check(read_labelled(path, "species"))
    check(
        read_labelled(
            path, str(len(pd.read_parquet(path).columns) if ending == ".parquet" else 5 if "index" in name else 4)
        )
    )


def test_a_column_with_a_usual_name_holds_the_labels(tmp_path: Path) -> None:
    FRAME.rename(columns={"species": "Class"}).to_csv(tmp_path / "a.csv", index=False)
    check(read_labelled(tmp_path / "a.csv"))


def test_a_table_without_names_gets_numbers(tmp_path: Path) -> None:
    numbers = np.column_stack([np.arange(6.0) ** 2, [0, 1, 0, 1, 1, 0]])
    np.savetxt(tmp_path / "a.csv", numbers, delimiter=",")
    found = read_labelled(tmp_path / "a.csv", "2")
    np.testing.assert_array_equal(found.features["column 1"], numbers[:, 0])
    assert list(found.labels) == [0, 1, 0, 1, 1, 0]


def test_what_tells_nothing_is_left_out_and_said(tmp_path: Path) -> None:
    rows = 60
    frame = pd.DataFrame(
        {
            "y": [0, 1, np.nan] * 20,
            "constant": 3,
            "name": [f"person {i}" for i in range(rows)],
            "when": pd.date_range("2026-01-01", periods=rows),
            "size": np.arange(rows) ** 2,
            "nr": np.arange(rows) + 7,
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    found = read_labelled(tmp_path / "a.parquet")
    assert list(found.features.columns) == ["when", "when weekday", "size"]
    np.testing.assert_array_equal(found.features["when"], found.features["size"] ** 0.5)
    text = "; ".join(found.notes)
    for said in (
        "20 rows without a label",
        "same in every row: constant",
        "nearly all different: name",
        "when read as days",
        "counts or names the rows: nr",
    ):
        assert said in text


def test_labels_that_are_whole_numbers_keep_their_order(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(6), "y": [10.0, 9, 10, 9, 2, 2]}).to_csv(tmp_path / "a.csv", index=False)
    found = read_labelled(tmp_path / "a.csv")
    assert found.classes == ("2", "9", "10")
    assert list(found.labels) == [2, 1, 2, 1, 0, 0]


def test_arrays_of_rows_and_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows, words = rng.normal(size=(6, 3)), np.array(list("abbaab"))
    rows[2, 1] = np.nan
    np.savez(tmp_path / "rows.npz", X=rows, y=words)
    found = read_labelled(tmp_path / "rows.npz")
    np.testing.assert_array_equal(found.features, rows)
    assert found.classes == ("a", "b")
    assert found.notes == ("1 values missing",)
    images = rng.random((6, 4, 5), np.float32)
    np.savez(tmp_path / "images.npz", X=images, y=np.array([3, 3, 5, 5, 3, 5]))
    found = read_labelled(tmp_path / "images.npz")
    assert found.shape == (4, 5)
    np.testing.assert_array_equal(found.features, images)
    assert list(found.labels) == [0, 0, 1, 1, 0, 1]


def folder_of_images(root: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    for name, size in sizes.items():
        (root / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full(size, 40 * i, np.uint8)).save(root / name / f"{i}.png")
    return root


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    found = read_labelled(folder_of_images(tmp_path / "animals", {"dog": (4, 6), "cat": (4, 6)}))
    assert found.classes == ("cat", "dog")
    assert found.features.shape == (6, 4, 6)
    np.testing.assert_allclose(found.features[:, 0, 0], np.array([0, 40, 80] * 2) / 255)


@pytest.mark.parametrize(
    ("columns", "target", "said"),
    [
        ({"a": range(6), "b": range(6)}, "", "not clear which column"),
        ({"a": range(6), "species": list("xyxyxy")}, "specie", "did you mean species?"),
        ({"a": range(6), "y": np.linspace(0, 1, 6)}, "", "wanted classes"),
        ({"a": range(6), "y": 1}, "", "1 in every row"),
        ({"a": range(6), "y": list("aaabcd")}, "", "a in every row and classes b, c, d of column 'y' left out"),
        ({"a": range(60), "y": range(60)}, "", "60 different values"),
        ({"a": [1, 2, np.inf, 4, 5, 6], "y": list("ababab")}, "", "line 4, column 'a' is infinite"),
        ({"a": 5, "y": list("ababab")}, "", "no column to learn from"),
    ],
)
def test_tables_are_refused_in_one_line(tmp_path: Path, columns: dict, target: str, said: str) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    assert said in refusal(path, target)


def test_files_are_refused_in_one_line(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "no.csv")
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    assert "ending '.xlsx'" in refusal(tmp_path / "a.xlsx")
    (tmp_path / "empty.csv").touch()
    assert "is empty" in refusal(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"a,b\0\1\2")
    assert "no text" in refusal(tmp_path / "binary.csv")
    (tmp_path / "fake.parquet").write_bytes(b"PAR1 nothing")
    assert "cannot be read as Parquet" in refusal(tmp_path / "fake.parquet")
    np.savez(tmp_path / "noy.npz", X=np.zeros((3, 2)))
    assert "no 'y'" in refusal(tmp_path / "noy.npz")
    np.savez(tmp_path / "short.npz", X=np.zeros((3, 2)), y=np.zeros(2))
    assert "'y' has shape (2,)" in refusal(tmp_path / "short.npz")
    np.savez(tmp_path / "target.npz", X=np.zeros((4, 2)), y=np.array([0, 1, 0, 1]))
    assert "leave it out: its array 'y'" in refusal(tmp_path / "target.npz", "y")
    np.savez(tmp_path / "objects.npz", X=np.array([[object()] * 2] * 3), y=np.arange(3))
    assert "never loaded" in refusal(tmp_path / "objects.npz")
    np.savez(tmp_path / "objects_y.npz", X=np.zeros((2, 2)), y=np.array([object()] * 2))
    assert "wanted classes" in refusal(tmp_path / "objects_y.npz")
    (tmp_path / "none").mkdir()
    assert "wanted one folder of images for each class" in refusal(tmp_path / "none")
    assert "wanted one size" in refusal(folder_of_images(tmp_path / "sizes", {"a": (4, 4), "b": (4, 5)}))


# --- rows that are there to test -----------------------------------------------------------------------------------------


def halves(rows: int = 24) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"Id": range(rows), "size": rng.normal(size=rows), "when": pd.date_range("2024-01-01", periods=rows, freq="D"),
         "kind": rng.choice(["a", "b"], rows), "y": [0, 1] * (rows // 2)}
    )  # fmt: skip
    return frame.iloc[: 2 * rows // 3], frame.iloc[2 * rows // 3 :]


@pytest.mark.parametrize("form", ["frames", "csv and parquet", "other order"])
def test_rows_to_test_are_read_as_the_others_are(tmp_path: Path, form: str) -> None:
    first, second = halves()
    whole = read_labelled(pd.concat([first, second]))
    second = second.assign(Id=range(len(second)))  # counts anew
    given = first, second
    if form == "csv and parquet":
        first.to_csv(tmp_path / "first.csv", index=False)
        second.to_parquet(tmp_path / "second.parquet")
        given = tmp_path / "first.csv", tmp_path / "second.parquet"
    elif form == "other order":
        given = first, second[second.columns[::-1]]
    found = read_labelled(given[0], test=given[1])
    assert found.tests is not None
    assert found.tests.tolist() == [False] * 16 + [True] * 8
    pd.testing.assert_frame_equal(found.features, whole.features, check_categorical=False)
    np.testing.assert_array_equal(found.labels, whole.labels)
    assert "left out, as only counts or names the rows: Id" in found.notes


def test_arrays_to_test() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3,), (4, 5)):
        a, b = rng.normal(size=(6, *shape)), rng.normal(size=(4, *shape))
        found = read_labelled((a, [0, 1] * 3), test=(b, [1, 0, 2, 1]))
        np.testing.assert_allclose(np.asarray(found.features), np.concatenate([a, b])[[*range(8), 9]], rtol=1e-6)
        assert found.labels.tolist() == [0, 1] * 3 + [1, 0, 1]
        assert found.tests is not None
        assert found.tests.tolist() == [False] * 6 + [True] * 3
        assert "class 2 of array 'y' left out, with no row to learn from" in found.notes


def test_a_class_with_one_row_to_learn_from_stays_where_others_are_tested() -> None:
    found = read_labelled((np.eye(5), list("aabbc")), test=(np.eye(5), list("abcca")))
    assert (found.classes, len(found)) == (("a", "b", "c"), 10)


def test_folders_named_train_and_test(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        folder_of_images(tmp_path / part, {"dog": (4, 6), "cat": (4, 6)})
    found = read_labelled(tmp_path)
    assert (found.classes, found.shape) == (("cat", "dog"), (4, 6))
    assert found.tests is not None
    assert found.tests.tolist() == [False] * 6 + [True] * 6
    assert found.notes == ("learned from train, tested on test", "left out: val")
    again = read_labelled(tmp_path / "train", test=tmp_path / "test")
    np.testing.assert_array_equal(again.features, found.features)
    np.testing.assert_array_equal(again.tests, found.tests)
    classes = folder_of_images(tmp_path / "classes", {"train": (4, 6), "test": (4, 6)})
    assert read_labelled(classes).classes == ("test", "train")
    assert read_labelled(classes).tests is None


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        (pd.DataFrame({"size": [1.0, 2], "y": [0, 1]}), "data: has no column 'Id'; wanted those of data"),
        ((np.eye(3), [0, 1, 0]), "data: is of another kind than the rows to learn from; wanted a table too"),
        (halves()[1].assign(size=np.inf), "row 1, column 'size' of data is infinite"),
        ("nowhere.csv", "nowhere.csv: does not exist"),
    ],
)
def test_rows_to_test_that_do_not_fit(tested: Any, said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        read_labelled(halves()[0], test=tested)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_kinds_of_rows_to_test(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "animals", {"dog": (4, 6), "cat": (4, 6)})
    frame = halves()[0]
    for data, test, said in (
        (folder, frame, "data: is no folder"),
        (folder, folder_of_images(tmp_path / "other", {"dog": (5, 6)}), "wanted one size"),
        ((np.eye(4), [0, 1, 0, 1]), folder, "wanted arrays X and y too"),
        ((np.eye(4), [0, 1, 0, 1]), (np.eye(3), [0, 1, 0]), r"a row of 'X' has shape \(3,\)"),
    ):
        with pytest.raises(ReplicaError, match=said):
            read_labelled(data, test=test)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"drop": ["y"]}, "column 'y' is dropped and wanted"),
        ({"drop": ["size"], "keep": ["2"]}, "column 'size' is dropped and wanted"),
        ({"drop": ["siez"]}, "did you mean size?"),
        ({"colour": True}, "takes no option colour"),
    ],
)
def test_columns_that_are_told_twice(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ReplicaError) as caught:
        read_labelled(halves()[0], **given)
    assert said in str(caught.value)


def test_what_only_tables_have_is_refused_elsewhere(tmp_path: Path) -> None:
    folder = folder_of_images(tmp_path / "animals", {"dog": (4, 6), "cat": (4, 6)})
    for data in (folder, (np.eye(4), [0, 1, 0, 1])):
        for given in ({"target": "y"}, {"keep": ["a"]}, {"drop": ["a"]}):
            with pytest.raises(ReplicaError, match="takes no option"):
                read_labelled(data, **given)
