"""The documentation of the public functions, put together from the parts that they share."""

from __future__ import annotations

_SUMMARIES = {
    "max_pool": "The largest value of each window",
    "avg_pool": "The average of each window",
    "lp_pool": "The Lp norm of each window, ``sum(|x| ** p) ** (1 / p)``",
    "max_pool_backward": "The gradient of `{forward}` with respect to `x`",
    "avg_pool_backward": "The gradient of `{forward}` with respect to `x`, its exact adjoint",
    "lp_pool_backward": "The gradient of `{forward}` with respect to `x`",
}

_RANKS = {
    None: "over one, two or three axes of an array.",
    1: "over one axis of an array.",
    2: "over two axes of an array.",
    3: "over three axes of an array.",
}

_GRADIENT = """\
grad_output : array_like of float16, float32 or float64
    The gradient of the forward result, of its shape.
"""

_X_FORWARD = """\
x : array_like of {dtypes}
    The array, of any rank and memory layout. It is never modified.
"""

_X_BACKWARD = """\
x : array_like of float16, float32 or float64
    The input of the forward pass.
"""

_WINDOW = """\
kernel_size : int or sequence of int
    The number of taps of the window along each window axis, at least 1.
stride : int or sequence of int, optional
    The distance of neighbouring windows; `kernel_size` if not given.
padding : int, sequence of int, sequence of (before, after), or str, optional
    Positions without data that are added before and after the input: none by default. "same" adds
    as many as ``ceil(length / stride)`` outputs need, the odd one at the end, "same_lower" at the
    start; "valid" adds none.
dilation : int or sequence of int, optional
    The distance of neighbouring taps of a window.
"""

_CEIL_MODE = """\
ceil_mode : bool, optional
    Whether a last window may reach past the padding, as long as it starts before it.
"""

_OPTIONS = {
    "max_pool": """\
return_indices : bool or "offset", optional
    Whether to return also where each maximum stands: True for flat positions over the window axes
    of `x` (int64), "offset" for the tap's number in its window (the smallest unsigned type).
""",
    "avg_pool": """\
count_include_pad : bool, optional
    Whether positions in the padding count in the divisor.
divisor_override : float, optional
    What to divide by instead of the number of taps: a finite number other than 0.
""",
    "lp_pool": """\
p : float, optional
    The exponent, greater than 0; inf gives the largest magnitude.
""",
    "max_pool_backward": """\
indices : array_like of int, optional
    The indices that the forward pass returned: positions if signed, offsets if unsigned. Without
    them the maxima are looked for again.
""",
    "lp_pool_backward": """\
y : array_like of float16, float32 or float64, optional
    The result of the forward pass. Without it, it is computed again.
""",
}

_AXIS = """\
axis : int or sequence of int, optional
    The window axes, which pair with the arguments above; the last {rank} axes if not given.
"""

_DTYPE = {
    "avg_pool": """\
dtype : data-type, optional
    The dtype of the result, floating point or integer (rounded half to even, saturated). By default
    that of `x` if it is floating point, else float64.
""",
    "lp_pool": """\
dtype : data-type, optional
    The floating point dtype of the result. By default that of `x` if it is floating point, else
    float64.
""",
}

_OUT = """\
out : numpy.ndarray{pair}, optional
    Where to put the result: of exactly its shape and dtype, in any memory layout.
"""

_RETURNS = {
    "max_pool": """\
numpy.ndarray or (numpy.ndarray, numpy.ndarray)
    The largest values, of x's dtype, in x's memory order; with `return_indices` also the indices.
    NaN is larger than every number, and the first of equal values wins. A window without data gives
    the dtype's lowest value and index -1 (offsets: the type's largest value).
""",
    "avg_pool": """\
numpy.ndarray
    The averages, in x's memory order. A window without data gives 0.
""",
    "lp_pool": """\
numpy.ndarray
    The norms, in x's memory order: not divided by a count, and finite wherever the exact value is
    representable. A window without data gives 0.
""",
    "backward": """\
numpy.ndarray
    The gradient, of x's shape, dtype and memory order.
""",
}

_RAISES = """\
TypeError
    If an argument is of a wrong kind, or an array of a dtype that is not supported.
ValueError
    If a value is not allowed, or the output would be empty.
numpy.exceptions.AxisError
    If `axis` names an axis that `x` lacks.
"""

_NOTES = {
    "max_pool": """\
The arguments mean what they mean in PyTorch, `axis` and `out` what they mean in NumPy [1]_.""",
    "avg_pool": """\
No running sums: a value outside a window never changes its result. The error of a window of n taps
is at most ``(ceil(log2(n)) + 2) * eps * sum(|x|) / |divisor|`` [1]_.""",
    "lp_pool": """\
PyTorch sums ``x ** p`` without the magnitude and multiplies by the sign; this is the norm [1]_.""",
    "max_pool_backward": "Each output's gradient goes to the one input that its index names [1]_.",
    "avg_pool_backward": """\
Each output's gradient, divided by the window's divisor, goes to every tap that holds data [1]_.""",
    "lp_pool_backward": """\
Each tap receives ``g * sign(x) * (|x| / y) ** (p - 1)``, 0 where x or y is 0; for p = inf the first
tap of largest magnitude receives ``g * sign(x)`` [1]_.""",
}

_REFERENCES = """\
.. [1] Y.-L. Boureau, J. Ponce, Y. LeCun, "A Theoretical Analysis of Feature Pooling in Visual
   Recognition", ICML 2010."""

_EXAMPLES = {
    ("max_pool", 1): """\
>>> {name}(np.array([1.0, 3.0, 2.0, 5.0]), 2)
array([3., 5.])""",
    ("max_pool", 2): """\
>>> x = np.arange(16.0).reshape(4, 4)
>>> {name}(x, 2)
array([[ 5.,  7.],
       [13., 15.]])
>>> values, indices = {name}(x, 3, stride=1, return_indices=True)
>>> indices
array([[10, 11],
       [14, 15]])""",
    ("max_pool", 3): """\
>>> {name}(np.arange(8.0).reshape(2, 2, 2), 2)
array([[[7.]]])""",
    ("avg_pool", 1): """\
>>> {name}(np.array([1.0, 3.0, 2.0, 5.0]), 2)
array([2. , 3.5])""",
    ("avg_pool", 2): """\
>>> x = np.arange(16, dtype=np.uint8).reshape(4, 4)
>>> {name}(x, 2)
array([[ 2.5,  4.5],
       [10.5, 12.5]])
>>> {name}(x, 2, dtype=np.uint8)
array([[ 2,  4],
       [10, 12]], dtype=uint8)""",
    ("avg_pool", 3): """\
>>> {name}(np.arange(8.0).reshape(2, 2, 2), 2)
array([[[3.5]]])""",
    ("lp_pool", 1): """\
>>> {name}(np.array([3.0, -4.0, 6.0, 8.0]), 2)
array([ 5., 10.])""",
    ("lp_pool", 2): """\
>>> x = np.array([[3.0, 0.0], [0.0, -4.0]])
>>> {name}(x, 2)
array([[5.]])
>>> {name}(x, 2, p=np.inf)
array([[4.]])""",
    ("lp_pool", 3): """\
>>> {name}(np.arange(8.0).reshape(2, 2, 2), 2, p=1)
array([[[28.]]])""",
    ("max_pool_backward", 1): """\
>>> {name}(np.array([1.0, 2.0]), np.array([1.0, 3.0, 2.0, 5.0]), 2)
array([0., 1., 0., 2.])""",
    ("max_pool_backward", 2): """\
>>> {name}(np.array([[1.0]]), np.array([[1.0, 2.0], [4.0, 3.0]]), 2)
array([[0., 0.],
       [1., 0.]])""",
    ("max_pool_backward", 3): """\
>>> {name}(np.array([[[1.0]]]), np.arange(8.0).reshape(2, 2, 2), 2)[1]
array([[0., 0.],
       [0., 1.]])""",
    ("avg_pool_backward", 1): """\
>>> {name}(np.array([1.0, 2.0]), np.array([1.0, 3.0, 2.0, 5.0]), 2)
array([0.5, 0.5, 1. , 1. ])""",
    ("avg_pool_backward", 2): """\
>>> {name}(np.array([[1.0]]), np.zeros((2, 2)), 2)
array([[0.25, 0.25],
       [0.25, 0.25]])""",
    ("avg_pool_backward", 3): """\
>>> {name}(np.array([[[8.0]]]), np.zeros((2, 2, 2)), 2)[0]
array([[1., 1.],
       [1., 1.]])""",
    ("lp_pool_backward", 1): """\
>>> {name}(np.array([10.0]), np.array([3.0, -4.0]), 2)
array([ 6., -8.])""",
    ("lp_pool_backward", 2): """\
>>> {name}(np.array([[10.0]]), np.array([[3.0, 0.0], [0.0, -4.0]]), 2)
array([[ 6.,  0.],
       [ 0., -8.]])""",
    ("lp_pool_backward", 3): """\
>>> {name}(np.array([[[2.0]]]), np.ones((2, 2, 2)), 2, p=1)[0]
array([[2., 2.],
       [2., 2.]])""",
}


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{body.rstrip()}\n"


def documentation(name: str, base: str, rank: int | None) -> str:
    """The docstring of the public function `name`, which is `base` ("max_pool_backward") for `rank`
    axes.
    """
    forward = base.removesuffix("_backward")
    backward = base != forward
    public_forward = name.removesuffix("_backward")
    dtypes = "bool, integers or floating point" if forward != "max_pool" else "any real dtype"
    options = _OPTIONS.get(base, "")
    if backward and forward in ("avg_pool", "lp_pool"):
        options = _OPTIONS[forward] + options if forward == "lp_pool" else _OPTIONS[forward]
    parameters = (
        (_GRADIENT + _X_BACKWARD if backward else _X_FORWARD.format(dtypes=dtypes))
        + _WINDOW
        + _CEIL_MODE
        + options
        + _AXIS.format(rank="D" if rank is None else rank)
        + ("" if backward else _DTYPE.get(forward, ""))
        + _OUT.format(pair=" or pair of numpy.ndarray" if base == "max_pool" else "")
    )
    summary = _SUMMARIES[base].format(forward=public_forward)
    extended = (
        "D, the number of window axes, is that of `axis`, else of `kernel_size`, else of `x`."
    )
    example = _EXAMPLES[base, rank or 2].format(name=name)
    return "\n".join(
        [
            f"{summary}, {_RANKS[rank]}\n",
            *([f"{extended}\n"] if rank is None else []),
            _section("Parameters", parameters),
            _section("Returns", _RETURNS["backward" if backward else forward]),
            _section("Raises", _RAISES),
            _section("Notes", _NOTES[base]),
            _section("References", _REFERENCES),
            _section(
                "Examples", f">>> import numpy as np\n>>> from numpool import {name}\n{example}"
            ),
        ]
    )
