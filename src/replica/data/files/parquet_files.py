"""Patterns from Parquet tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from replica.data.sets import patterns as limits
from replica.data.sets.patterns import Patterns, check_shape, refuse, to_patterns


def read_parquet(path: Path) -> Patterns:
    """Read a Parquet table, one pattern a row; a pandas index that was stored with it is left out.

    Raises:
        ReplicaError: If it is no such file, is too large once decoded, or has a column of anything but
            finite real numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            index = {name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)}
            kept = [i for i, name in enumerate(schema.names) if name not in index]
            for i in kept:
                kind = schema.types[i]
                if not (
                    pa.types.is_integer(kind)
                    or pa.types.is_floating(kind)
                    or pa.types.is_decimal(kind)
                    or pa.types.is_boolean(kind)
                ):
                    raise refuse(
                        path,
                        f"column {schema.names[i]!r} holds {kind} from row 1 on",
                        "wanted numbers: leave that column out",
                    )
            check_shape(path, (metadata.num_rows, len(kept)), np.dtype(np.float64), "the table")
            decoded = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
            if decoded > limits.LIMIT_BYTES:
                raise refuse(
                    path,
                    f"the table needs {decoded / 2**30:.1f} GiB",
                    f"wanted at most {limits.LIMIT_BYTES / 2**30:g} GiB",
                )
            table = file.read()
            values = np.empty((table.num_rows, len(kept)), np.float64)
            for column, i in enumerate(kept):
                values[:, column] = table.column(i).cast(pa.float64(), safe=False).to_numpy()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise refuse(path, f"cannot be read as Parquet ({error})", "wanted a Parquet table") from error
    return to_patterns(
        path,
        values,
        notes=("the index left out",) if index else (),
        locate=lambda row, rest: f"row {row + 1}, column {schema.names[kept[rest[0]]]!r}",
    )
