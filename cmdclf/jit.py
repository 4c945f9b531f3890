"""One decorator for compiled kernels: no GIL, cached on disk where a disk is writable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function compiled by numba at its first call, without the GIL.

    The machine code is cached beside the module or in the user's cache folder. A read-only installation whose user
    has no writable folder either compiles at each start instead of failing.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba's "cannot cache function: no locator available"
        return cast(F, numba.njit(nogil=True)(function))
