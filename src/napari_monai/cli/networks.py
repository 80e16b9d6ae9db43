"""The list of networks that ``napari-monai info --networks`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# What the work is given for: a picture of a usual patch, and a volume of one.
WINDOWS = {2: (256, 256), 3: (96, 96, 96)}


def network_lines(names: Sequence[str] = ()) -> Iterator[str]:
    """Yield what there is to know of networks: when to choose them, and what their sizes cost.

    Costs are those of an image of one channel and two classes. Without names: all networks.

    Raises NetworkError for a name that the table does not have.
    """
    from ..networks import NETWORKS, SIZES, fixed_size, network_info, presets
    from ..networks.cost import count_parameters, flops

    infos = [network_info(name) for name in names or NETWORKS]

    width = max(len(info.name) for info in infos)
    sizes = ", ".join(SIZES)
    yield f"{'':<{width}}  parameters and work per window of {sizes}"
    for info in infos:
        name = info.name
        yield f"{name:<{width}}  {info.summary}"
        for dims in info.dims:
            parameters, work, window = [], [], WINDOWS[dims]
            for options in presets(name, dims).values():
                arguments = {"spatial_dims": dims, "in_channels": 1, "out_channels": 2, **options}
                window = fixed_size(name, arguments) or window
                parameters.append(f"{count_parameters(name, arguments) / 1e6:.1f}")
                work.append(f"{flops(name, arguments, window) / 1e9:.0f}")
            yield (
                f"{'':<{width}}  {dims}D: {', '.join(parameters)} M; "
                f"{', '.join(work)} GFLOP ({' x '.join(map(str, window))})"
            )
