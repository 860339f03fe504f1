"""JAX: `lax.reduce_window`, compiled by XLA for the CPU, and its transposes."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.cases import Case
from benchmarks.data import Data, batched, unbatched
from benchmarks.peers.peer import Peer, Run
from benchmarks.threads import COUNT


def _supports(case: Case) -> bool:
    if case.indices or case.result or case.dtype == "float16":
        return False
    if case.backward and case.operator != "avg":
        return case.dense and (case.operator == "max" or case.p != math.inf)
    return case.operator == "max" or np.dtype(case.dtype).kind == "f"


def _prepare(data: Data) -> Run:
    import jax

    jax.config.update("jax_enable_x64", True)
    case = data.case
    arrays = [data.x, *(a for a in (data.grad, data.y) if a is not None)]
    operands = [jax.device_put(batched(case, a)) for a in arrays]
    function = jax.jit(partial(_backward if case.backward else _forward, case))
    compiled = function.lower(*operands).compile()
    return Run(
        lambda: compiled(*operands).block_until_ready(),
        lambda result: (unbatched(case, np.asarray(result)),),
    )


def _windows(case: Case, x: Any, start: Any, combine: Callable[[Any, Any], Any]) -> Any:
    from jax import lax

    return lax.reduce_window(
        x,
        x.dtype.type(start),
        combine,
        (1, 1, *case.kernel_size),
        (1, 1, *case.stride),
        ((0, 0), (0, 0), *((p, p) for p in case.padding)),
        window_dilation=(1, 1, *case.dilation),
    )


def _largest(case: Case, x: Any) -> Any:
    from jax import lax
    from jax import numpy as jnp

    if case.whole:
        return jnp.max(x, axis=range(2, x.ndim), keepdims=True)
    floating = np.dtype(x.dtype).kind == "f"
    return _windows(case, x, -math.inf if floating else np.iinfo(x.dtype).min, lax.max)


def _sum(case: Case, x: Any) -> Any:
    from jax import lax
    from jax import numpy as jnp

    if case.whole:
        return jnp.sum(x, axis=range(2, x.ndim), keepdims=True)
    return _windows(case, x, 0, lax.add)


def _forward(case: Case, x: Any) -> Any:
    from jax import numpy as jnp

    if case.operator == "max":
        return _largest(case, x)
    if case.operator == "avg":
        return _sum(case, x) / case.taps
    if case.p == math.inf:
        return _largest(case, jnp.abs(x))
    if case.p == 2:
        return jnp.sqrt(_sum(case, x * x))
    if case.p == 1:
        return _sum(case, jnp.abs(x))
    return _sum(case, jnp.abs(x) ** case.p) ** (1 / case.p)


def _backward(case: Case, x: Any, grad: Any, y: Any = None) -> Any:
    """Of max: from x alone. Of Lp: from y, as numpool is given it."""
    import jax
    from jax import numpy as jnp

    if case.operator == "max":
        return jax.vjp(partial(_windows_max, case), x)[1](grad)[0]
    transposed = jax.vjp(partial(_sum, case), x)[1]
    if case.operator == "avg":
        return transposed(grad / case.taps)[0]
    if case.p == 1:
        return transposed(grad)[0] * jnp.sign(x)
    if case.p == 2:
        return transposed(grad / y)[0] * x
    return transposed(grad * y ** (1 - case.p))[0] * jnp.sign(x) * jnp.abs(x) ** (case.p - 1)


def _windows_max(case: Case, x: Any) -> Any:
    """Never as a reduction, whose derivative shares out among equals."""
    from jax import lax

    return _windows(case, x, -math.inf, lax.max)


JAX = Peer("JAX", "jax", COUNT, _supports, _prepare)
