"""Platforms as bits, the form in which compiled kernels compare a row's with a rule's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.telemetry import PLATFORMS

__all__ = ["ANY_PLATFORM", "platform_bits"]

#: The bits of a row whose platform isn't known, and of a rule for all of them.
ANY_PLATFORM = 255

_NAMES = pa.array(PLATFORMS, pa.string())
_BITS = np.array([*(1 << k for k in range(len(PLATFORMS))), ANY_PLATFORM], np.uint8)
_BIT_OF = {name: 1 << k for k, name in enumerate(PLATFORMS)}
#: For so few rows Python is faster than starting one of Arrow's kernels.
_FEW = 16


def platform_bits(platform: pa.Array) -> npt.NDArray[np.uint8]:
    """`(n,) uint8`: 1, 2, 4 for windows, linux, macos; `ANY_PLATFORM` for null and every other name."""
    if len(platform) <= _FEW:
        return np.array([_BIT_OF.get(name, ANY_PLATFORM) for name in platform.to_pylist()], np.uint8)
    at = pc.index_in(platform, value_set=_NAMES.cast(platform.type))
    places: npt.NDArray[np.int32] = at.fill_null(len(PLATFORMS)).to_numpy(zero_copy_only=False)
    return np.take(_BITS, places)
