"""Whether PyTorch can compute on an NVIDIA card here, and if not, why not. Imports PyTorch only where
the driver says that there is a card: that takes seconds."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

NEEDED_DRIVERS = {11: "450", 12: "525", 13: "580"}
"""The oldest driver for each major version of CUDA (NVIDIA's table of CUDA compatibility)."""


@dataclass(frozen=True)
class Cuda:
    """The first card that PyTorch can use, or the reason why a card that is there cannot be used.

    Attributes
    ----------
    device
        Its name, None if there is none or it cannot be used.
    problem
        For people; None if there is no card at all, or it works.
    """

    device: str | None = None
    problem: str | None = None


def find() -> Cuda:
    """Look for a card, asking the driver first."""
    driver = _library("nvcuda.dll", "libcuda.so.1")
    if driver is None:
        return Cuda()
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return Cuda()
    try:
        import torch
    except Exception as error:  # a broken installation may raise anything
        return Cuda(problem=f"PyTorch does not start: {_line(error)}")
    try:
        if torch.cuda.is_available():
            return Cuda(torch.cuda.get_device_name(0))
    except RuntimeError as error:
        return Cuda(problem=f"PyTorch cannot use the graphics card: {_line(error)}")
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    return Cuda(problem=unusable(torch.version.cuda, version.value, driver_version()))


def unusable(built_for: str | None, supported: int, driver: str | None) -> str:
    """Say why PyTorch finds no card where the driver does.

    Parameters
    ----------
    built_for
        The version of CUDA that PyTorch was built for, as "12.8"; None for a build without CUDA.
    supported
        The newest CUDA that the driver knows, as 12020 for 12.2.
    driver
        The driver's own version, as "470.57.02", if it can be told.
    """
    if built_for is None:
        return (
            "There is a graphics card, but this PyTorch is built without CUDA. Install the other."
        )
    major = int(built_for.split(".")[0])
    has = f"{supported // 1000}.{supported % 1000 // 10}"
    if supported // 1000 >= major:
        return f"PyTorch (CUDA {built_for}) finds no card that it can use; the driver knows CUDA {has}."
    there = f"driver {driver}, which" if driver else "one that"
    needed = NEEDED_DRIVERS.get(major)
    at_least = f"driver {needed} or newer" if needed else f"a driver for CUDA {major}"
    return (
        f"The graphics driver is too old: PyTorch for CUDA {built_for} needs {at_least}, here is "
        f"{there} knows CUDA {has}. Update it."
    )


def driver_version() -> str | None:
    """Return the version of NVIDIA's driver, if its management library tells it."""
    library = _library("nvml.dll", "libnvidia-ml.so.1")
    if library is None or library.nvmlInit_v2():
        return None
    text = ctypes.create_string_buffer(80)
    status = library.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text)))
    library.nvmlShutdown()
    return None if status else text.value.decode(errors="replace")


def _library(windows: str, linux: str) -> Any:
    try:
        return ctypes.CDLL(windows if sys.platform == "win32" else linux)
    except OSError:
        return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
