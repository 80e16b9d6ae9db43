"""Columns of a table that leaves the program: names, units, and CSV or Parquet files of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import FormatError, did_you_mean


@dataclass(frozen=True, eq=False)
class Column:
    """One number, or text, a row.

    Parameters
    ----------
    name
        Such as ``"volume"``.
    values
        Array of shape (rows,).
    unit
        Such as ``"mm³"``; empty where there is none.
    """

    name: str
    values: npt.NDArray[Any] = field(repr=False)
    unit: str = ""

    @property
    def title(self) -> str:
        """Name and unit: ``"volume [mm³]"``."""
        return f"{self.name} [{self.unit}]" if self.unit else self.name


@dataclass(frozen=True, eq=False)
class Columns(Mapping[str, npt.NDArray[Any]]):
    """Columns of as many rows each: a mapping of their names to their values.

    ``pandas.DataFrame(columns)`` makes a data frame of them; ``columns.titled()`` has the units
    in the names.
    """

    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        for column in self.columns:
            if column.name == name:
                return column.values
        raise KeyError(f"No column named {name!r}. {did_you_mean(name, self)}")

    def __iter__(self) -> Iterator[str]:
        return (column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.columns[0].values) if self.columns else 0

    def take(self, rows: npt.NDArray[Any]) -> Columns:
        """Return the table of some rows, in this order."""
        return Columns(tuple(replace(c, values=c.values[rows]) for c in self.columns))

    def titled(self) -> dict[str, npt.NDArray[Any]]:
        """Return the values by name and unit."""
        return {column.title: column.values for column in self.columns}


def stacked(tables: Sequence[tuple[str, Columns]]) -> Columns:
    """Return the rows of several images in one table, with the image's name first.

    What an image has no column of is NaN, or empty where others have a text.
    """
    kinds: dict[str, Column] = {}
    # An image without a row has nothing to say of units: they may be guessed from its intensities.
    for table in [t for _, t in tables if t.rows] or [t for _, t in tables]:
        for column in table.columns:
            kinds.setdefault(column.title, column)
    names = [np.repeat(np.array([name], dtype=np.str_), table.rows) for name, table in tables]
    found = [Column("image", np.concatenate([np.zeros(0, np.str_), *names]))]
    for title, kind in kinds.items():
        values = [_values(table, title, kind) for _, table in tables]
        found.append(Column(kind.name, np.concatenate(values), kind.unit))
    return Columns(tuple(found))


def _values(table: Columns, title: str, kind: Column) -> npt.NDArray[Any]:
    values = table.titled().get(title)
    if values is not None:
        return values
    text = kind.values.dtype.kind == "U"
    return np.full(table.rows, "") if text else np.full(table.rows, np.nan)


def csv_text(table: Columns, *, delimiter: str = ",") -> str:
    """Return a table as comma-separated values, with units in the header.

    What is not known is an empty cell, yes and no are 1 and 0.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    writer.writerows(zip(*(_cells(c.values) for c in table.columns), strict=True))
    return buffer.getvalue()


def _cells(values: npt.NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "b":
        return [int(v) for v in values.tolist()]
    if values.dtype.kind != "f":
        return list(values.tolist())
    return ["" if v != v else float(f"{v:.10g}") for v in values.tolist()]


def write_parquet(path: Path, table: Columns) -> None:
    """Write a table as Parquet, with units in the names of the columns.

    Raises
    ------
    FormatError
        Where pyarrow is not installed.
    """
    pyarrow, parquet = pyarrow_modules()
    arrays = {
        title: pyarrow.array(values.tolist() if values.dtype.kind == "U" else values)
        for title, values in table.titled().items()
    }
    parquet.write_table(pyarrow.table(arrays), path)


def pyarrow_modules() -> tuple[Any, Any]:
    """Return ``pyarrow`` and ``pyarrow.parquet``, or raise FormatError where they are missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise FormatError(
            "Parquet needs pyarrow: pip install 'napari-monai[parquet]', or write CSV."
        ) from None
    return pyarrow, parquet
