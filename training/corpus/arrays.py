"""What NumPy arrays and PyTorch tensors do not share as methods, so that one formula serves both.

PyTorch is not imported here: the corpus needs it only for :mod:`batch`.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def exp(x: Any) -> Any:
    """Return e to the power of x, elementwise."""
    return x.exp() if hasattr(x, "exp") else np.exp(x)
