"""Arrays of layers, in memory or in files, with their axes moved and never read for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..grid import Reorientation

if TYPE_CHECKING:
    from napari.layers import Layer


def finest(layer: Layer) -> Any:
    """Return the array of a layer at full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def reoriented(data: Any, how: Reorientation) -> Any:
    """Return a view of an array, which may be lazy, with its spatial axes reoriented."""
    if how.axes == tuple(range(len(how.axes))) and not any(how.flips):
        return data
    # Axes that are not in display order are a patient's: such files run fastest along the first.
    return how.apply(sliceable(data, whole=slice(-len(how.axes), -1)))


def sliceable(data: Any, *, whole: slice = slice(-2, None)) -> Any:
    """Return an array that can be transposed: arrays in files are wrapped, not read.

    They are read in planes: ``whole`` along these axes, one by one along the others.
    """
    if hasattr(data, "transpose") and hasattr(data, "ndim"):
        return data
    import dask.array

    chunks: list[int] = [1] * len(data.shape)
    chunks[whole] = list(data.shape)[whole]
    return dask.array.from_array(data, chunks=tuple(chunks))  # type: ignore[no-untyped-call]
