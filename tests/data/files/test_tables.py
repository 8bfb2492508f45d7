"""The one reader of tables: layouts, spellings of numbers, dates, what is left out, and odd files of every family."""

from __future__ import annotations

import datetime
import decimal
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from replica.data import read_labelled, read_patterns
from replica.data.files.tables import read_table
from replica.errors import ReplicaError


def table(folder: Path, text: str | bytes, name: str = "mine.csv") -> Any:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def check_line(message: str, name: str) -> None:
    assert "\n" not in message
    assert name in message


# --- layouts -------------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    values=st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=width, max_size=width),
            min_size=3,
            max_size=8,
        )
    ),
    sign=st.sampled_from([",", ";", "\t", "|", " ", "  "]),
    names=st.booleans(),
    comment=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-16-le"]),
    packed=st.booleans(),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_the_same_numbers_come_out_of_every_layout(
    values: list[list[float]], sign: str, names: bool, comment: bool, encoding: str, packed: bool, newline: str
) -> None:
    found = [["größe", "b", "c", "d"][: len(values[0])]] * names + [[repr(v) for v in row] for row in values]
    text = newline.join(["# who made this"] * comment + [sign.join(row) for row in found]) + newline
    content = text.encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = table(Path(folder), gzip.compress(content) if packed else content, "mine.txt" + ".gz" * packed)
        patterns = read_patterns(path)
    np.testing.assert_array_equal(patterns.values, np.array(values))
    told = "; ".join(patterns.notes)
    assert ("first line read as column names" in told) is names
    assert ("#" in told) is comment
    assert ("UTF-16" in told) is encoding.startswith("utf-16")
    assert ("Latin-1" in told) is (names and encoding == "latin-1")


@pytest.mark.parametrize(
    ("text", "rows", "named"),
    [
        (
            "5.1,3.5,alba\n4.9,3.0,rosa\n5.0,3.1,alba\n4.8,3.2,rosa\n",
            4,
            False,
        ),  # words below words, numbers below numbers
        ("red,small,yes\nred,big,no\nblue,big,yes\nblue,small,no\n", 4, False),  # 'red' comes again
        ("colour,size,bought\nred,small,yes\nred,big,no\nblue,big,yes\nblue,small,no\n", 4, True),
        ("2,?,alba\n3,1.5,rosa\n4,2.5,alba\n5,3.5,rosa\n", 4, False),  # a missing number is no word
        ("when,kind\n2019-03-01,a\n2019-03-02,b\n2019-03-03,a\n2019-03-04,b\n", 4, True),
        ("2019-03-01,a\n2019-03-02,b\n2019-03-03,a\n2019-03-04,b\n", 4, False),
        ('"a" "y"\n"r1" 1 u\n"r2" 4 v\n"r3" 2 u\n"r4" 8 v\n', 4, True),  # R names the rows, but not their column
        ("a;y\n1,5;u\n2,5;v\n1,75;u\n0,5;v\n", 4, True),
        ("a,y,\n1,u,\n2,v,\n5,u,\n7,v,\n", 4, True),  # a delimiter at the end of each row
    ],
)
def test_whether_the_first_line_holds_names(tmp_path: Path, text: str, rows: int, named: bool) -> None:
    found = read_table(table(tmp_path, text))
    assert len(found.frame) == rows
    assert found.notes == ("the first line read as column names" if named else "no line of column names",)
    target = "y" if "y" in found.frame else str(found.frame.shape[1])
    assert len(read_labelled(tmp_path / "mine.csv", target)) == rows


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    text = "a;b;y\n" + "".join(f"{i},5;1.{100 + i};{'uv'[i % 2]}\n" for i in range(6))
    found = read_labelled(table(tmp_path, text))
    assert found.features["a"].tolist() == [i + 0.5 for i in range(6)]
    assert found.features["b"].tolist() == [1100.0 + i for i in range(6)]


def test_cells_over_several_lines_do_not_shift_the_rows(tmp_path: Path) -> None:
    text = "a,b,y\n" + "".join(f'{i * i},"two\nlines, {i % 2}",{i % 2}\n' for i in range(8)) + "oops,x,1\n"
    path = table(tmp_path, text)
    assert len(read_labelled(path)) == 9
    with pytest.raises(ReplicaError, match="line 18, column 'a' is 'oops'"):
        read_patterns(path, drop=["b"])


# --- what cells are ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "wanted", "note"),
    [
        ([" 12%", "3.5 %", "", "100%"], [0.12, 0.035, np.nan, 1.0], "percent read as hundredths"),
        (["1,234", "12", "1,234,567.5", "-"], [1234, 12, 1234567.5, np.nan], "commas read as thousands"),
        (["1,5", "12", "-3,25", "1e3"], [1.5, 12, -3.25, 1000], "commas read as decimal points"),
        (["true", "False", None, "TRUE"], [1, 0, np.nan, 1], ""),
        ([decimal.Decimal("1.10"), decimal.Decimal(3), None, decimal.Decimal("1E+2")], [1.1, 3, np.nan, 100], ""),
        (["1:30", "0:00:01", None, "100:00:00"], [5400, 1, np.nan, 360000], "read as seconds"),
        (pd.to_timedelta([1.5, 2, None, 3], unit="s"), [1.5, 2, np.nan, 3], "read as seconds"),
        (
            [datetime.time(1, 30), datetime.time(0), None, datetime.time(0, 0, 1)],
            [5400, 0, np.nan, 1],
            "read as seconds",
        ),
    ],
)
def test_numbers_in_their_spellings(cells: Any, wanted: list[float], note: str) -> None:
    found = read_labelled(pd.DataFrame({"a": cells, "y": list("uvuv")}))
    np.testing.assert_allclose(found.features["a"], wanted, rtol=1e-12)
    assert note in "; ".join(found.notes)


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d-%b-%Y %H:%M",
        "%Y/%m/%d %H:%M", "%B %d, %Y %I:%M %p", "parquet", "zone",
    ],
)  # fmt: skip
def test_dates_are_days_weekdays_and_hours(tmp_path: Path, written: str) -> None:
    dates = pd.date_range("2024-02-27 09:30", periods=9, freq="25h")
    frame = pd.DataFrame({"when": dates, "y": [0, 1, 0] * 3})
    if written == "zone":
        frame["when"] = dates.tz_localize("Asia/Tokyo")
    elif written != "parquet":
        frame["when"] = dates.strftime(written)
    ending = "parquet" if written in ("parquet", "zone") else "csv"
    getattr(frame, f"to_{ending}")(tmp_path / f"a.{ending}", index=False)
    found = read_labelled(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(found.features["when"], np.arange(9) * 25 / 24)
    assert found.features["when weekday"].tolist() == ["Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    np.testing.assert_allclose(found.features["when hour"], 9.5 + np.arange(9))
    assert "when read as days since the first, with weekday and hour" in "; ".join(found.notes)


def test_which_of_two_orders_of_a_date_is_said() -> None:
    days = [f"{i}/{i + 1}/2024" for i in range(1, 7)]
    assert "month before day" in read_labelled(pd.DataFrame({"d": days, "y": [0, 1] * 3})).notes[0]
    days[0] = "13/1/2024"
    assert "day before month" in read_labelled(pd.DataFrame({"d": days, "y": [0, 1] * 3})).notes[0]


def test_words_keep_their_signs_and_lose_their_blanks(tmp_path: Path) -> None:
    text = (
        "y,w,v\n"
        + "".join(f"{'+-'[i % 2]},{' ' * (i % 3)}red{' ' * (i % 2)},{i * i}\n" for i in range(6))
        + "-,blue,1\n"
    )
    found = read_labelled(table(tmp_path, text))
    assert found.classes == ("+", "-")
    assert list(found.features["w"].cat.categories) == ["blue", "red"]


# --- what is left out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values", "out"),
    [
        ("Id", list(range(1, 25)), True),
        ("id", list(range(24, 0, -1)), True),
        ("CustomerId", [(7919 * i) % 104729 for i in range(24)], True),
        ("row number", list(range(24)), True),
        ("anything", list(range(100, 124)), True),  # counts, whatever it is called
        ("patient_id", [f"p{(7 * i) % 24}" for i in range(24)], True),
        ("anything", [(7919 * i) % 104729 for i in range(24)], False),
        ("paid", [(7919 * i) % 104729 for i in range(24)], False),
        ("id", [i % 5 for i in range(24)], False),  # groups, not rows
        ("id", [i + 0.5 for i in range(24)], False),
    ],
)
def test_columns_that_count_or_name_the_rows(name: str, values: list[Any], out: bool) -> None:
    frame = pd.DataFrame({name: values, "v": np.sin(range(24)), "y": [0, 1] * 12})
    found = read_labelled(frame)
    assert (name not in found.features) is out
    assert (f"counts or names the rows: {name}" in "; ".join(found.notes)) is out
    assert name in read_labelled(frame, keep=[name]).features
    assert name not in read_labelled(frame, drop=[name]).features
    if not isinstance(values[0], str):
        assert read_patterns(frame).shape == ((2,) if out else (3,))


def test_lone_classes_are_left_out_and_said(tmp_path: Path) -> None:
    found = read_labelled(
        table(tmp_path, "v,rings\n" + "".join(f"{i * i},{[7, 8, 9][i % 2]}\n" for i in range(10)) + "3,29\n"), "rings"
    )
    assert (len(found), found.classes) == (10, ("7", "8"))
    assert "class 29 of column 'rings' left out, with one row each" in "; ".join(found.notes)
    words = read_labelled((np.eye(7), np.array(list("ababcda"))))
    assert (words.labels.tolist(), words.classes) == ([0, 1, 0, 1, 0], ("a", "b"))
    np.testing.assert_array_equal(words.features, np.eye(7)[[0, 1, 2, 3, 6]])
    assert words.notes == ("classes c, d of array 'y' left out, with one row each",)


def test_groups_are_no_features_and_keep_their_order(tmp_path: Path) -> None:
    path = table(tmp_path, "v,site,y\n" + "".join(f"{i * i},{[10, 9][i % 2]},{i % 2}\n" for i in range(8)) + "1,9,7\n")
    found = read_labelled(path, groups="site")
    assert (found.group_names, list(found.features)) == (("9", "10"), ["v"])
    assert found.groups is not None
    assert found.groups.tolist() == [1, 0] * 4
    with pytest.raises(ReplicaError, match=r"has no column 'sight'; did you mean site\?"):
        read_labelled(path, groups="sight")


# --- odd Parquet ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    told=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["index_columns", "columns", "column_indexes", "pandas_version", "v"]), inner, max_size=3
        ),
        max_leaves=6,
    )
    | st.fixed_dictionaries({"index_columns": st.lists(st.sampled_from(["v", "w", "y", "gone"]) | st.integers(), max_size=4)}),
    raw=st.sampled_from([None, b"", b"{", b"\xff\xfe"]),
)  # fmt: skip
def test_pandas_metadata_are_not_believed(told: Any, raw: bytes | None) -> None:
    frame = pa.table({"v": [1.0, 2, 4, 9], "w": [3, 1, 4, 1], "y": [0, 1, 0, 1]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(
            frame.replace_schema_metadata({b"pandas": json.dumps(told).encode() if raw is None else raw}), path
        )
        assert len(read_labelled(path, keep=["v", "w"])) == 4
        assert len(read_patterns(path, keep=["v", "w", "y"]).values) == 4


INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
TYPES = [
    *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")),
    pa.timestamp("us", tz="Europe/Berlin"), pa.timestamp("s", tz="UTC"),
    *(pa.duration(unit) for unit in ("s", "ns")), pa.date32(), pa.date64(),
    pa.time32("s"), pa.time64("ns"), pa.int64(), pa.uint64(),
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(TYPES), values=st.lists(INT64 | st.none() | st.integers(-9, 10**6), min_size=4, max_size=4))
def test_numbers_near_the_ends_of_their_range_are_read_or_refused_in_one_line(
    kind: Any, values: list[int | None]
) -> None:
    width = np.int32 if kind.bit_width == 32 else np.int64
    there = np.array([value is not None for value in values])
    bits = np.array([value or 0 for value in values]).astype(width)
    buffers = [pa.py_buffer(np.packbits(there, bitorder="little").tobytes()), pa.py_buffer(bits.tobytes())]
    column = pa.Array.from_buffers(kind, 4, buffers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        try:
            pq.write_table(pa.table({"v": column, "w": [0.5, 2, 1, 4], "y": list("abab")}), path)
        except pa.ArrowException:
            return  # no such file can be written
        try:
            found = read_labelled(path)
        except ReplicaError as error:
            check_line(str(error), "a.parquet")
        else:
            numbers = found.features.select_dtypes("number").to_numpy()
            assert np.isfinite(numbers[~np.isnan(numbers)]).all()


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.string()), pa.map_(pa.string(), pa.int64()), pa.struct([("x", pa.int64())]), pa.binary()]
)
def test_columns_without_single_values_are_refused_in_one_line_or_dropped(tmp_path: Path, kind: Any) -> None:
    value = {"list": ["a"], "map": [("a", 1)], "struct": {"x": 1}, "binary": b"a"}[str(kind).split("<")[0]]
    pq.write_table(
        pa.table({"v": [1.0, 4, 9, 2], "tags": pa.array([value] * 4, kind), "y": list("abab")}), tmp_path / "a.parquet"
    )
    for call in (read_labelled, lambda path: read_patterns(path, drop=["y"])):
        with pytest.raises(
            ReplicaError, match=r"a\.parquet: column 'tags' is odd .* leave that column out \(--drop\)"
        ) as caught:
            call(tmp_path / "a.parquet")
        assert "\n" not in str(caught.value)
    assert list(read_labelled(tmp_path / "a.parquet", drop=["tags"]).features) == ["v"]


# --- odd text and odd names ----------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    content=st.binary(max_size=60) | st.text(alphabet='01.,;\t\n"#ab% -:/é', max_size=60).map(str.encode),
    name=st.sampled_from(["a.csv", "a.data.gz"]),
)
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for packed in {False, name.endswith("gz")}:
            path = table(Path(folder), gzip.compress(content) if packed else content, name)
            for call in (read_patterns, lambda path: read_labelled(path, "1")):
                try:
                    call(path)
                except ReplicaError as error:
                    check_line(str(error), name)


@pytest.mark.parametrize(
    "name",
    ["a" * 300 + ".csv", "no\udcff.csv", "a\0b.csv", "~nosuchuser/a.csv", "a/" * 3000 + "b.csv", "\U0001f600.csv", ""],
)
def test_odd_names(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (read_patterns, read_labelled):
        with pytest.raises(ReplicaError) as caught:
            call(name)
        assert "\n" not in str(caught.value)
        str(caught.value).encode()  # as a terminal will


def test_a_name_that_is_no_utf8_is_read(tmp_path: Path) -> None:
    for ending, write in (("csv", pd.DataFrame.to_csv), ("parquet", pd.DataFrame.to_parquet)):
        frame = pd.DataFrame({"v": [1.0, 4, 9, 2], "w": [3.0, 1, 4, 1], "y": [0, 1, 0, 1]})
        write(frame, tmp_path / "plain", index=False)
        odd = tmp_path / f"od\udcffd.{ending}"
        (tmp_path / "plain").rename(odd)
        assert len(read_labelled(odd)) == len(read_patterns(odd).values) == 4


def test_a_packed_file_is_read_no_further_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from replica.data.sets import patterns

    path = table(tmp_path, gzip.compress(b"1,2\n" * 100_000), "a.csv.gz")
    monkeypatch.setattr(patterns, "LIMIT_BYTES", 10_000)
    with pytest.raises(ReplicaError, match="the text needs"):
        read_patterns(path)
