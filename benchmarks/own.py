"""How numpool itself does a case: with new results, into results that are reused, on one thread."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numba

import numpool
from benchmarks.data import Data


def alone(call: Callable[[], Any]) -> Callable[[], Any]:
    """A call on one of numba's threads."""

    def one_thread() -> Any:
        threads = numba.get_num_threads()
        numba.set_num_threads(1)
        try:
            return call()
        finally:
            numba.set_num_threads(threads)

    return one_thread


def prepare(data: Data, reused: bool = False) -> Callable[[], Any]:
    """A call of numpool; with `reused`, each call writes into the same arrays."""
    case = data.case
    arguments: dict[str, Any] = dict(case.window)
    if case.operator == "lp":
        arguments["p"] = case.p
    if case.backward:
        if case.operator == "max":
            arguments["indices"] = data.indices
        elif case.operator == "lp":
            arguments["y"] = data.y
    elif case.operator == "max":
        arguments["return_indices"] = case.indices
    elif case.result:
        arguments["dtype"] = case.result
    if case.backward:
        function = getattr(numpool, f"{case.operator}_pool_backward")
        call = partial(function, data.grad, data.x, **arguments)
    else:
        call = partial(getattr(numpool, f"{case.operator}_pool"), data.x, **arguments)
    return partial(call, out=call()) if reused else call
