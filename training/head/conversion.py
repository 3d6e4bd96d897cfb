"""How shape coefficients of the head that is replaced become coefficients of the new one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...backend.head.registration import similarity
from .core import project


def conversion_arrays(
    path: Path, mean: np.ndarray, basis: np.ndarray, weight: np.ndarray
) -> dict[str, np.ndarray]:
    """Arrays of a head file by which identities of earlier heads keep their faces.

    ``matrix @ a`` is the least-squares fit of what sets the earlier face apart from its average, in
    the new head's size: a face without features stays one. Fitting the whole face would also fit
    the difference of the two averages, which lies far outside of what people differ by.
    Conversions that the earlier file holds are carried on.

    Parameters
    ----------
    path
        The head that is replaced; of the same vertices. Without one there is nothing to convert.
    mean, basis, weight
        (3V,), (K, 3V) and (V,) of the new head.
    """
    if not path.exists():
        return {"generation": np.array(1)}
    with np.load(path, allow_pickle=False) as old:
        before = old["basis"].astype(np.float64) * old["basis_scale"][:, None]
        old_mean = old["mean"].astype(np.float64)
        generation = int(old["generation"]) if "generation" in old else 1
        earlier = {name: old[name] for name in old.files if name.startswith("from_")}
        skin = int(old["skin_count"])
    scale = similarity(old_mean[:skin], mean.reshape(-1, 3)[:skin])[0]
    matrix = project(mean + scale * before, mean, basis, weight).T
    arrays = {"generation": np.array(generation + 1)}
    arrays[f"from_{generation}"] = matrix.astype(np.float32)
    for number in range(1, generation):
        arrays[f"from_{number}"] = (matrix @ earlier[f"from_{number}"]).astype(np.float32)
    return arrays
