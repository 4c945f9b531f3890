"""Decorators for compiled kernels: no GIL, cached on disk where a disk is writable."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar, cast

import numba

__all__ = ["compiled", "compiled_reordered", "compiled_with"]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """The function compiled by numba at its first call, without the GIL.

    The machine code is cached beside the module or in the user's cache folder. A read-only installation whose user
    has no writable folder either compiles at each start instead of failing.
    """
    return _jit(function)


def compiled_reordered(function: F) -> F:
    """`compiled`, with leave to sum in any order: sixteen products a step instead of one, rounded differently."""
    return _jit(function, fastmath={"reassoc", "contract", "nsz"})


def _jit(function: F, **options: object) -> F:
    try:
        return cast(F, numba.njit(cache=True, nogil=True, **options)(function))
    except RuntimeError:  # numba's "cannot cache function: no locator available"
        return cast(F, numba.njit(nogil=True, **options)(function))


def compiled_with(*modules: ModuleType) -> Callable[[F], F]:
    """As `compiled`, for a kernel that calls functions or freezes constants of other modules.

    Numba compares only the kernel's own file with its cache and would go on with an old function of another; here the
    times and sizes of the modules' files count too.
    """

    def decorated(function: F) -> F:
        kernel = compiled(function)
        try:
            index = kernel._cache._cache_file  # type: ignore[attr-defined]
            index._source_stamp = (index._source_stamp, *map(_state, modules))
        except AttributeError:  # no cache, or another numba: compiled at each start
            return cast(F, numba.njit(nogil=True)(function))
        return kernel

    return decorated


def _state(module: ModuleType) -> tuple[object, ...]:
    """Time and size of the module's file; its content's hash where it is a part of a zip."""
    path = cast(str, module.__file__)
    try:
        stat = os.stat(path)
    except NotADirectoryError:
        return (hashlib.sha256(module.__loader__.get_data(path)).digest(),)  # type: ignore[union-attr]
    return stat.st_mtime, stat.st_size
