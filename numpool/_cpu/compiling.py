"""Compiling with less of numba's work: a kernel is made of some thirty small functions, and numba
treats each as if it were to be used alone.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import binding
from numba import _dynfunc
from numba.core import codegen, config, cpu, dispatcher
from numba.core.registry import cpu_target

# Methods of numba that do for each function what only the kernel as a whole needs.
_NUMBAS: tuple[tuple[Any, str], ...] = (
    (dispatcher._FunctionCompiler, "_compile_core"),  # type: ignore[attr-defined]
    (codegen.CPUCodeLibrary, "_optimize_functions"),
    (codegen.CPUCodeLibrary, "_optimize_final_module"),
    (codegen.JITCodeLibrary, "_finalize_specific"),
    (codegen.JITCPUCodegen, "_add_module"),
    (cpu.CPUContext, "get_executable"),
)
# What these call in turn.
_CALLED = ("_module_pass_manager", "_data_layout", "_tm")


def _internals_known() -> bool:
    engine = cpu_target.target_context.codegen()
    replaced = all(hasattr(owner, name) for owner, name in _NUMBAS)
    return replaced and all(hasattr(engine, name) for name in _CALLED)


def _passes(engine: Any, of_vectors: bool) -> tuple[Any, ...]:
    """LLVM's passes over a module, and what they are run with; `of_vectors`: see `quickly`."""
    if of_vectors and hasattr(binding, "create_pipeline_tuning_options"):
        options = binding.create_pipeline_tuning_options(speed_level=config.OPT)
        options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
        builder = binding.create_pass_builder(engine._tm, options)
        return builder.getModulePassManager(), builder
    passes = engine._module_pass_manager()
    return passes if isinstance(passes, tuple) else (passes,)


def _of_kernels_only(
    numbas: dict[str, Callable[..., Any]], passes_words: bool, of_vectors: bool
) -> dict[str, Callable[..., Any]]:
    """Such methods, which leave inner functions alone: these stay modules that a kernel is linked
    from, with neither code nor an address of their own. The options are those of `quickly`.
    """
    depth = 0

    def compile_function(self: Any, *arguments: Any) -> Any:
        nonlocal depth
        depth += 1
        try:
            return numbas["_compile_core"](self, *arguments)
        finally:
            depth -= 1

    def optimize_functions(self: Any, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def optimize(self: Any) -> None:
        if depth <= 1:
            # What nobody else can call may go once it is inlined.
            for function in self._final_module.functions:
                if function.linkage == binding.Linkage.linkonce_odr and not function.is_declaration:
                    function.linkage = binding.Linkage.internal
            # Once: a first round of numba's is for reference counts, of which there are none.
            manager, *builder = _passes(self._codegen, of_vectors)
            manager.run(self._final_module, *builder)
            if passes_words:
                for function in self._final_module.functions:
                    if not function.is_declaration:
                        function.add_function_attribute("noimplicitfloat")

    def generate_code(self: Any) -> None:
        if depth <= 1:
            numbas["_finalize_specific"](self)

    def add_module(self: Any, module: Any) -> Any:
        return numbas["_add_module"](self, module) if depth <= 1 else None

    def get_executable(self: Any, library: Any, description: Any, environment: Any) -> Any:
        if depth <= 1:
            return numbas["get_executable"](self, library, description, environment)
        library._ensure_finalized()
        # As numba's own for a function without a wrapper for Python: nothing that can be called.
        name = description.qualname.split(".")[-1]
        return _dynfunc.make_function(
            description.lookup_module(), name, "", 0, environment, (library,)
        )

    return {
        "_compile_core": compile_function,
        "_optimize_functions": optimize_functions,
        "_optimize_final_module": optimize,
        "_finalize_specific": generate_code,
        "_add_module": add_module,
        "get_executable": get_executable,
    }


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back what Python does upon signals, KeyboardInterrupt above all, until the end: between
    two lines of llvmlite a module belongs to two owners, and both would free it.
    """
    held: list[tuple[int, Any]] = []
    try:
        with contextlib.ExitStack() as changed:
            if threading.current_thread() is threading.main_thread():
                for number in signal.valid_signals():
                    handler = signal.getsignal(number)
                    if callable(handler):
                        changed.callback(signal.signal, number, handler)
                        signal.signal(number, lambda *received: held.append(received))
            yield
    finally:
        for received in held:
            handler = signal.getsignal(received[0])
            if callable(handler):
                handler(*received)


@contextlib.contextmanager
def quickly(passes_words: bool = False, of_vectors: bool = False) -> Iterator[None]:
    """While a kernel is compiled, under numba's compiler lock: leave out what is done in vain.

    Inner functions are optimised and become machine code where they are linked into the kernel, and
    not on their own before: it saves a third of the time. Numba's many small objects are no garbage
    before the end: without the collector it is another sixth. Where a version of numba has other
    internals, it is just slower.

    A kernel that `passes_words` on, from one call to the next, is not to copy them as vectors: to
    read together what was written word by word has to wait until all that was stored before is in
    the cache. It was a quarter of the time of 7 x 7 x 7 over 64 x 64 x 64. Others fill and copy
    memory as vectors, which is up to 1.4 times as fast.

    A kernel that is written `of_vectors`, with its loops as long as they shall be, has nothing for
    LLVM to make vectors of or to unroll: without that it takes 0.7 of the time to compile, and 0.75
    to 1.1 of the time to run.
    """
    with contextlib.ExitStack() as patched:
        if _internals_known():
            numbas = {name: getattr(owner, name) for owner, name in _NUMBAS}
            for (owner, name), own in zip(
                _NUMBAS, _of_kernels_only(numbas, passes_words, of_vectors).values(), strict=True
            ):
                patched.callback(setattr, owner, name, numbas[name])
                setattr(owner, name, own)
        if gc.isenabled():
            gc.disable()
            patched.callback(gc.enable)
        yield
