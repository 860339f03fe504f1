"""Compiling with less of numba's work: a kernel is made of some twenty small functions, and numba
treats each as if it were to be used alone.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from llvmlite.binding import Linkage
from numba.core import codegen, dispatcher


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """While a kernel is compiled, under numba's compiler lock: leave out what is done in vain.

    The modules of inner functions are optimised where they are linked into the kernel, and not on
    their own before: it saves a sixth of the time. Numba's many small objects are no garbage before
    the end: without the collector it is another sixth. Where a version of numba has other
    internals, it is just slower.
    """
    library = codegen.CPUCodeLibrary
    compiler: Any = dispatcher._FunctionCompiler  # type: ignore[attr-defined]
    optimize = getattr(library, "_optimize_final_module", None)
    compile_function = getattr(compiler, "_compile_core", None)
    collected = gc.isenabled()
    depth = 0

    def inner(self: Any, *arguments: Any) -> Any:
        nonlocal depth
        depth += 1
        try:
            return compile_function(self, *arguments)  # type: ignore[misc]
        finally:
            depth -= 1

    def outermost(self: Any) -> None:
        if depth <= 1:
            # A function of the kernel's own: by its name, the linker would take the one of the
            # module that was not optimised.
            for function in self._final_module.functions:
                if function.linkage == Linkage.linkonce_odr and not function.is_declaration:
                    function.linkage = Linkage.internal
            optimize(self)  # type: ignore[misc]

    gc.disable()
    if optimize is not None and compile_function is not None:
        library._optimize_final_module = outermost
        compiler._compile_core = inner
    try:
        yield
    finally:
        if optimize is not None and compile_function is not None:
            library._optimize_final_module = optimize
            compiler._compile_core = compile_function
        if collected:
            gc.enable()
