"""Bad input: every wrong argument raises its exception, says what is wrong, and writes nothing."""

import re

import numpy as np
import pytest

import numpool

NAN, INF = np.nan, np.inf
X = np.arange(24.0).reshape(4, 6)
LARGE = 2**63

# What a message says is allowed.
INTEGER = "integer"
AT_LEAST_1 = "at least 1"
AT_LEAST_0 = "at least 0"
BITS = "64 bits"


def failure(exception, function, *args, **kwargs):
    """The message of the exception, which must be of this very class, from a call."""
    with pytest.raises(exception) as info:
        getattr(numpool, function)(*args, **kwargs)
    assert type(info.value) is exception, repr(info.value)
    return str(info.value)


def shown(dtype):
    """Any of the ways in which a message may show a dtype."""
    dtype = np.dtype(dtype)
    return "|".join(re.escape(text) for text in (dtype.name, str(dtype), repr(dtype)))


def check(message, patterns):
    for pattern in patterns:
        assert re.search(pattern, message), f"{pattern!r} is not in {message!r}"


def check_out_untouched(exception, function, args, kwargs):
    """The same call again, with an `out`: whatever is wrong is found before anything is written."""
    wide = kwargs.get("return_indices") in (True, "offset")
    shape = (4, 6) if "backward" in function else (2, 3)
    out = np.full(shape, 77.0)
    positions = np.full(shape, 77)
    given = (out, positions) if wide else out
    # The shape of `out` may be wrong as well: which of two mistakes is told is not specified.
    with pytest.raises((exception, ValueError, TypeError)):
        getattr(numpool, function)(*args, **kwargs, out=given)
    assert (out == 77).all()
    assert (positions == 77).all()


# ---------------------------------------------------------------------------------------------
# Window arguments, which every function shares
# ---------------------------------------------------------------------------------------------


def numbers(name, least):
    """Rows for an argument that is an int or two ints."""
    allowed = f"at least {least}"
    return [
        ({name: least - 1}, ValueError, name, str(least - 1), allowed),
        ({name: -7}, ValueError, name, "-7", allowed),
        ({name: (1, least - 1)}, ValueError, name, str(least - 1), allowed),
        ({name: [-2, 1]}, ValueError, name, "-2", allowed),
        ({name: np.array([1, -2])}, ValueError, name, "-2", allowed),
        ({name: np.int64(-2)}, ValueError, name, "-2", allowed),
        ({name: LARGE}, ValueError, name, str(LARGE), BITS),
        ({name: (1, 10**30)}, ValueError, name, str(10**30), BITS),
        ({name: (2,)}, ValueError, name, r"\(2,\)", "2 ints"),
        ({name: [1, 1, 1]}, ValueError, name, r"\[1, 1, 1\]", "2 ints"),
        ({name: ()}, ValueError, name, r"\(\)", "2 ints"),
        ({name: True}, TypeError, name, "True", INTEGER),
        ({name: (1, np.True_)}, TypeError, name, "True", INTEGER),
        ({name: 2.0}, TypeError, name, r"2\.0", INTEGER),
        ({name: (2, 1.0)}, TypeError, name, r"1\.0", INTEGER),
        ({name: np.float32(2)}, TypeError, name, r"2\.0", INTEGER),
        ({name: np.array([2.0, 1.0])}, TypeError, name, r"2\.0", INTEGER),
        ({name: 2j}, TypeError, name, "2j", INTEGER),
        ({name: NAN}, TypeError, name, "nan", INTEGER),
        ({name: (1, None)}, TypeError, name, "None", INTEGER),
        ({name: (1, "1")}, TypeError, name, "'1'", INTEGER),
        ({name: {1: 1}}, TypeError, name, r"\{1: 1\}", INTEGER),
    ]


WINDOW = [
    *numbers("kernel_size", 1),
    *numbers("stride", 1),
    *numbers("dilation", 1),
    *numbers("padding", 0),
    ({"kernel_size": None}, TypeError, "kernel_size", "None", INTEGER),
    ({"kernel_size": "2"}, TypeError, "kernel_size", "'2'", INTEGER),
    ({"stride": "same"}, TypeError, "stride", "'same'", INTEGER),
    ({"dilation": None}, TypeError, "dilation", "None", INTEGER),
    ({"padding": None}, TypeError, "padding", "None", INTEGER),
    ({"padding": "SAME"}, ValueError, "padding", "'SAME'", '"same"', '"same_lower"', '"valid"'),
    ({"padding": ""}, ValueError, "padding", "''", '"same"', "pairs"),
    ({"padding": ((0, 1), (0, -1))}, ValueError, "padding", "-1", AT_LEAST_0),
    ({"padding": ((0, 1), (0, 1.0))}, TypeError, "padding", r"1\.0", INTEGER),
    ({"padding": ((0, 1), (False, 1))}, TypeError, "padding", "False", INTEGER),
    ({"padding": ((0, 1), (0, LARGE))}, ValueError, "padding", str(LARGE)),
    ({"padding": ((0, 1),)}, ValueError, "padding", r"\(\(0, 1\),\)", "2 pairs"),
    ({"padding": ((0, 1), (0, 1), (0, 1))}, ValueError, "padding", r"\(0, 1\)", "2 pairs"),
    ({"padding": ((0, 1, 2), (0, 1, 2))}, ValueError, "padding", r"\(0, 1, 2\)", "2 pairs"),
    ({"padding": ((0,), (0,))}, ValueError, "padding", r"\(0,\)", "2 pairs"),
    ({"padding": ("same", "same")}, TypeError, "padding", "'same'", INTEGER),
    ({"ceil_mode": 1}, TypeError, "ceil_mode", "1", "True or False"),
    ({"ceil_mode": None}, TypeError, "ceil_mode", "None", "True or False"),
    ({"ceil_mode": "no"}, TypeError, "ceil_mode", "'no'", "True or False"),
    ({"axis": (0, 2)}, np.exceptions.AxisError, "axis", r"\b2\b", r"dimension 2"),
    ({"axis": (0, -3)}, np.exceptions.AxisError, "axis", "-3", r"dimension 2"),
    ({"axis": (1, 1)}, ValueError, "axis", r"\(1, 1\)", "distinct"),
    ({"axis": (1, -1)}, ValueError, "axis", r"\(1, -1\)", "distinct"),
    ({"axis": (0, 1.0)}, TypeError, "axis", r"1\.0", INTEGER),
    ({"axis": (0, True)}, TypeError, "axis", "True", INTEGER),
    ({"axis": (0, None)}, TypeError, "axis", "None", INTEGER),
    ({"axis": "01"}, TypeError, "axis", "'01'", INTEGER),
    # Outputs that cannot exist: the length, the padding, and how far the window reaches.
    ({"kernel_size": (5, 1)}, ValueError, "axis 0", r"\b4\b", r"0 \+ 0", r"\b5\b"),
    ({"kernel_size": (1, 10**9)}, ValueError, "axis 1", r"\b6\b", r"0 \+ 0", str(10**9)),
    (
        {"kernel_size": (3, 1), "dilation": (4, 1), "padding": ((3, 1), (0, 0))},
        *(ValueError, "axis 0", r"\b4\b", r"3 \+ 1", r"\b8\b", r"\b9\b"),
    ),
    ({"dilation": LARGE - 1}, ValueError, "empty", str(LARGE)),
    ({"kernel_size": LARGE - 1, "dilation": LARGE - 1}, ValueError, "empty", "reach"),
    # Nor can an array hold these.
    ({"padding": 2**61, "stride": 1}, ValueError, "padding", str(2**61)),
]


@pytest.mark.parametrize("function", ["max_pool2d", "avg_pool2d", "lp_pool2d", "max_pool"])
@pytest.mark.parametrize("row", WINDOW, ids=lambda row: repr(row[0])[:60])
def test_window_arguments(function, row):
    change, exception, *patterns = row
    kwargs = {"kernel_size": 2, **change}
    if function == "max_pool" and "axis" not in kwargs:
        kwargs["axis"] = (0, 1)
    check(failure(exception, function, X, **kwargs), patterns)
    check_out_untouched(exception, function, (X,), kwargs)


BACKWARD = ["max_pool2d_backward", "avg_pool2d_backward", "lp_pool2d_backward"]


@pytest.mark.parametrize("row", WINDOW, ids=lambda row: repr(row[0])[:60])
def test_window_arguments_elsewhere(row):
    change, exception, *patterns = row
    kwargs = {"kernel_size": 2, **change}
    for function in BACKWARD:
        check(failure(exception, function, np.ones((2, 3)), X, **kwargs), patterns)
        check_out_untouched(exception, function, (np.ones((2, 3)), X), kwargs)
    kwargs.setdefault("axis", (0, 1))
    check(failure(exception, "output_shape", (4, 6), **kwargs), patterns)


RANKS = [
    # function, shape of x, arguments, patterns
    ("max_pool2d", (5,), {"kernel_size": 2}, ["2", "1", "axes"]),
    ("avg_pool3d", (5, 5), {"kernel_size": 2}, ["3", "2", "axes"]),
    ("max_pool1d", (), {"kernel_size": 2}, ["1", "0", "axes"]),
    ("max_pool", (), {"kernel_size": 2}, ["1, 2 or 3", "0"]),
    ("max_pool", (4, 4, 4, 4), {"kernel_size": 2}, ["1, 2 or 3", "4", "axis"]),
    ("lp_pool", (4, 4, 4, 4), {"kernel_size": (2, 2, 2, 2)}, ["1, 2 or 3", "4"]),
    ("lp_pool", (4, 4, 4, 4), {"kernel_size": 2, "axis": (0, 1, 2, 3)}, ["1, 2 or 3", "4"]),
    ("avg_pool", (4, 4), {"kernel_size": ()}, ["1, 2 or 3", "0"]),
    ("avg_pool", (4, 4), {"kernel_size": 2, "axis": ()}, ["1, 2 or 3", "0", "axis"]),
    ("avg_pool", (4,), {"kernel_size": (2, 2)}, ["2", "1", "axes"]),
    ("avg_pool", (4, 4), {"kernel_size": (2, 2), "axis": 0}, ["kernel_size", r"\(2, 2\)"]),
    ("avg_pool", (4, 4), {"kernel_size": (2,), "axis": (0, 1)}, ["kernel_size", r"\(2,\)"]),
    ("max_pool2d", (4, 4), {"kernel_size": 2, "axis": 0}, ["axis", "2", r"\b0\b"]),
    ("max_pool2d", (4, 4), {"kernel_size": 2, "axis": (0,)}, ["axis", "2", r"\(0,\)"]),
    ("max_pool2d", (4, 4, 4), {"kernel_size": 2, "axis": (0, 1, 2)}, ["axis", "2", "0, 1, 2"]),
    ("max_pool1d", (4, 4), {"kernel_size": 2, "axis": (0, 1)}, ["axis", "1", r"\(0, 1\)"]),
]


@pytest.mark.parametrize(("function", "shape", "arguments", "patterns"), RANKS)
def test_numbers_of_axes(function, shape, arguments, patterns):
    check(failure(ValueError, function, np.ones(shape), **arguments), patterns)
    if not function.endswith("d"):
        check(failure(ValueError, "output_shape", shape, **arguments), patterns)


def test_more_taps_than_offsets_can_number():
    wide = {"kernel_size": 2**40, "stride": 2**41, "padding": 2**40}
    message = failure(ValueError, "max_pool2d", X, **wide, return_indices="offset")
    check(message, ["kernel_size|return_indices", "offset", str(2**80)])
    assert numpool.max_pool2d(X, **wide, return_indices=True)[1].shape == (1, 1)


# ---------------------------------------------------------------------------------------------
# What one operator takes
# ---------------------------------------------------------------------------------------------

FLOATING = "float"
OPTIONS = [
    # function, arguments, exception, patterns
    ("avg_pool2d", {"count_include_pad": 1}, TypeError, "count_include_pad", "1", "True or False"),
    ("avg_pool2d", {"count_include_pad": None}, TypeError, "count_include_pad", "None"),
    *(
        ("avg_pool2d", {"divisor_override": value}, ValueError, "divisor_override", text, "finite")
        for value, text in (
            *((0, "0"), (0.0, r"0\.0"), (-0.0, r"-0\.0"), (NAN, "nan"), (INF, "inf")),
            *((-INF, "-inf"), (np.float32(NAN), "nan"), (np.int8(0), "0")),
        )
    ),
    *(
        ("avg_pool2d", {"divisor_override": value}, TypeError, "divisor_override", text, "number")
        for value, text in (
            *((True, "True"), (np.True_, "True"), ("2", "'2'"), (2j, "2j")),
            *(((2,), r"\(2,\)"), (np.array([2, 3]), "array"), (b"2", "b'2'")),
        )
    ),
    *(
        ("lp_pool2d", {"p": value}, ValueError, r"\bp\b", text, "greater than 0")
        for value, text in (
            *((0, "0"), (-1, "-1"), (-0.5, r"-0\.5"), (NAN, "nan"), (-INF, "-inf")),
            (np.float32(NAN), "nan"),
        )
    ),
    *(
        ("lp_pool2d", {"p": value}, TypeError, r"\bp\b", text, "real number")
        for value, text in (
            *((True, "True"), (np.False_, "False"), ("2", "'2'"), ("inf", "'inf'")),
            *((None, "None"), (2j, "2j"), ((2,), r"\(2,\)"), (np.array([2.0]), "array")),
        )
    ),
    *(
        (function, {"dtype": dtype}, TypeError, "dtype", text, FLOATING)
        for function in ("avg_pool2d", "lp_pool2d")
        for dtype, text in (
            *((bool, "bool"), ("complex64", "complex64"), (np.longdouble, "longdouble|float128")),
            *((object, "object"), ("M8[s]", r"M8\[s\]"), ("m8[s]", r"m8\[s\]"), ("U3", "U3")),
            *((np.dtype([("a", "f4")]), "'a'"), ("nonsense", "'nonsense'"), (3, "3")),
        )
    ),
    ("lp_pool2d", {"dtype": "int32"}, TypeError, "dtype", "int32", FLOATING),
    ("lp_pool2d", {"dtype": np.uint8}, TypeError, "dtype", "uint8", FLOATING),
    (
        "max_pool2d",
        {"return_indices": "offsets"},
        ValueError,
        "return_indices",
        "'offsets'",
        "True",
    ),
    ("max_pool2d", {"return_indices": ""}, ValueError, "return_indices", "''", '"offset"'),
    ("max_pool2d", {"return_indices": 1}, TypeError, "return_indices", "1", "True"),
    ("max_pool2d", {"return_indices": None}, TypeError, "return_indices", "None", "True"),
]


@pytest.mark.parametrize(
    ("function", "kwargs", "exception", "patterns"), [(*row[:3], row[3:]) for row in OPTIONS]
)
def test_options(function, kwargs, exception, patterns):
    check(failure(exception, function, X, 2, **kwargs), patterns)
    check_out_untouched(exception, function, (X, 2), kwargs)
    if not {"dtype", "return_indices"} & set(kwargs):
        args = (np.ones((2, 3)), X, 2)
        check(failure(exception, f"{function}_backward", *args, **kwargs), patterns)
        check_out_untouched(exception, f"{function}_backward", args, kwargs)


@pytest.mark.parametrize("name", ["dtype", "p", "count_include_pad", "return_indices", "size"])
def test_arguments_of_another_operator(name):
    owner = {"dtype": "avg", "p": "lp", "count_include_pad": "avg", "return_indices": "max"}
    for op in {"max", "avg", "lp"} - {owner.get(name)} - ({"lp"} if name == "dtype" else set()):
        assert name in failure(TypeError, f"{op}_pool2d", X, 2, **{name: 1})


# ---------------------------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------------------------

ARRAYS = [
    # an array of shape (4, 6), and what the message shows of it
    (X.astype("complex64"), "complex64"),
    (X.astype("complex128").tolist(), "complex128"),
    (X.astype(np.longdouble), "longdouble|float128|float96"),
    (X.astype(object), "object"),
    (X.astype("M8[s]"), r"datetime64\[s\]"),
    (X.astype("m8[ns]"), r"timedelta64\[ns\]"),
    (X.astype("U3"), "U3"),
    (X.astype("S3"), "S3"),
    (X.astype([("a", "f4"), ("b", "i2")]), "'a'"),
    (np.zeros((4, 6), "V3"), "V3|void"),
    (np.ma.masked_less(X, 3), r"masked.*\.filled\("),
    (np.ma.array(X), r"masked.*\.filled\("),
]


@pytest.mark.parametrize(("x", "text"), ARRAYS, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("function", ["max_pool2d", "avg_pool2d", "lp_pool2d"])
def test_arrays_that_cannot_be_pooled(function, x, text):
    check(failure(TypeError, function, x, 2), [r"\bx\b", text])
    check_out_untouched(TypeError, function, (x, 2), {})


@pytest.mark.parametrize("x", [None, "text", {}, object(), [[1, 2], [3]], [["a", "b"]], len])
def test_things_that_are_no_array(x):
    for function in ("max_pool2d", "avg_pool2d", "lp_pool2d"):
        check(failure(TypeError, function, x, 1), [r"\bx\b"])


@pytest.mark.parametrize("function", BACKWARD)
def test_backward_takes_floating_point_alone(function):
    grad = np.ones((2, 3))
    others = [(X.astype(t), t) for t in ("bool", "uint8", "int64")]
    for x, text in (*others, *ARRAYS):
        check(failure(TypeError, function, grad, x, 2), [r"\bx\b", text])
        check_out_untouched(TypeError, function, (grad, x, 2), {})
        # The same things as a gradient: the left half of each, of the right shape.
        half = x[:2, :3] if isinstance(x, np.ndarray) else [row[:3] for row in x[:2]]
        check(failure(TypeError, function, half, X, 2), ["grad_output", text])
        check_out_untouched(TypeError, function, (half, X, 2), {})


@pytest.mark.parametrize("function", BACKWARD)
@pytest.mark.parametrize("shape", [(3, 2), (2, 4), (2,), (1, 2, 3), (4, 6), (0, 3), ()])
def test_gradients_of_another_shape(function, shape):
    message = failure(ValueError, function, np.ones(shape), X, 2)
    check(message, ["grad_output", re.escape(str(shape)), r"\(2, 3\)"])
    check_out_untouched(ValueError, function, (np.ones(shape), X, 2), {})


@pytest.mark.parametrize(
    ("function", "dtype", "kwargs"),
    [
        ("max_pool2d", "float64", {}),
        ("avg_pool2d", "float64", {}),
        ("lp_pool2d", "float32", {"dtype": "float32"}),
        ("avg_pool2d", "int8", {"dtype": "int8"}),
        ("max_pool2d_backward", "float64", {}),
        ("avg_pool2d_backward", "float64", {}),
        ("lp_pool2d_backward", "float64", {}),
    ],
)
def test_out(function, dtype, kwargs):
    backward = "backward" in function
    shape = (4, 6) if backward else (2, 3)
    args = (np.ones((2, 3)), X, 2) if backward else (X, 2)

    def out(exception, given, *patterns):
        before = np.array(given, copy=True) if isinstance(given, np.ndarray) else None
        check(failure(exception, function, *args, **kwargs, out=given), ["out", *patterns])
        if before is not None:
            np.testing.assert_array_equal(np.asarray(given), np.asarray(before))

    out(TypeError, np.zeros(shape).tolist(), "array", "list")
    out(TypeError, (np.zeros(shape, dtype), np.zeros(shape, np.int64)), "array", "tuple")
    out(TypeError, 0.0, "array", "float")
    out(TypeError, np.ma.zeros(shape, dtype), "array", "[mM]asked")
    for other in ("float16", "int32", "uint64", "bool", "complex128", object):
        out(TypeError, np.zeros(shape, other), dtype, shown(other))
    if dtype != "int8":
        out(TypeError, np.zeros(shape, np.dtype(dtype).newbyteorder()), dtype, "byte order|>|<")
    for other in (shape[::-1], (*shape, 1), (1, *shape), shape[:1], (), (0, *shape[1:])):
        out(ValueError, np.zeros(other, dtype), re.escape(str(shape)), re.escape(str(other)))
    locked = np.zeros(shape, dtype)
    locked.flags.writeable = False
    out(ValueError, locked, "read-only|writeable")
    # An array that overlaps itself cannot hold a result, writeable or not.
    strides = (0, np.dtype(dtype).itemsize)
    itself = np.lib.stride_tricks.as_strided(np.zeros(shape, dtype), shape, strides)
    out(ValueError, itself, "overlap")


@pytest.mark.parametrize(("indices", "dtype"), [(True, np.int64), ("offset", np.uint8)])
def test_out_with_indices(indices, dtype):
    values, found = np.full((2, 3), 77.0), np.full((2, 3), 77, dtype)

    def out(exception, given, *patterns):
        message = failure(exception, "max_pool2d", X, 2, return_indices=indices, out=given)
        check(message, ["out", *patterns])
        assert (values == 77).all()
        assert (found == 77).all()

    out(TypeError, values, "pair|values, indices")
    out(TypeError, (values,), "pair|values, indices")
    out(TypeError, (values, found, found), "pair|values, indices")
    out(TypeError, (values, None), "array", "None")
    out(TypeError, (found, values), "dtype", "float64")
    out(TypeError, (values, found.astype(np.int32)), np.dtype(dtype).name, "int32")
    out(ValueError, (values, np.zeros((3, 2), dtype)), r"\(2, 3\)", r"\(3, 2\)")
    out(ValueError, (np.zeros((2, 2)), found), r"\(2, 3\)", r"\(2, 2\)")
    locked = found.copy()
    locked.flags.writeable = False
    out(ValueError, (values, locked), "read-only|writeable")


# ---------------------------------------------------------------------------------------------
# Indices and y
# ---------------------------------------------------------------------------------------------

# Windows of 2 x 3 with a column of padding before: columns -1..1, 2..4 of rows 0..1 and 2..3.
TILES = {"kernel_size": (2, 3), "padding": ((0, 0), (1, 0))}
GOOD = np.array([[0, 8], [13, 16]])
GOOD_OFFSETS = np.array([[1, 3], [2, 5]])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", ">i4"])
@pytest.mark.parametrize("bad", [-2, -128, 24, 127, 2, 12, 18])
def test_positions_of_no_tap_of_their_window(dtype, bad):
    grad = np.ones((2, 2))
    out = np.full((4, 6), 77.0)
    indices = GOOD.astype(dtype)
    numpool.max_pool2d_backward(grad, X, **TILES, indices=indices)
    indices[0, 0] = bad
    arguments = {**TILES, "indices": indices, "out": out}
    message = failure(ValueError, "max_pool2d_backward", grad, X, **arguments)
    check(message, ["indices", rf"{bad}\b", "window"])
    assert (out == 77).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize("bad", [0, 3, 6, 254])
def test_offsets_of_no_tap_of_their_window(dtype, bad):
    grad = np.ones((2, 2))
    out = np.full((4, 6), 77.0)
    indices = GOOD_OFFSETS.astype(dtype)
    numpool.max_pool2d_backward(grad, X, **TILES, indices=indices)
    indices[0, 0] = bad
    arguments = {**TILES, "indices": indices, "out": out}
    message = failure(ValueError, "max_pool2d_backward", grad, X, **arguments)
    check(message, ["indices", rf"\b{bad}\b", "window"])
    assert (out == 77).all()


@pytest.mark.parametrize("dtype", ["int64", "uint64", "uint16"])
def test_indices_far_out_of_range(dtype):
    info = np.iinfo(dtype)
    # 255 is the marker of uint8 alone.
    for bad in (info.max - 1, info.max if dtype == "int64" else 255, info.min if info.min else 6):
        indices = np.array([[bad, 3], [2, 5]], dtype) if not info.min else GOOD.astype(dtype)
        indices[0, 0] = bad
        arguments = {**TILES, "indices": indices}
        message = failure(ValueError, "max_pool2d_backward", np.ones((2, 2)), X, **arguments)
        check(message, ["indices", str(bad)])


def test_indices_of_a_window_without_data():
    grad, x = np.ones(3), np.ones(1)
    for indices in ([0, 0, -1], [-1, 0, 0]):
        arguments = {"stride": 1, "padding": 1, "indices": np.array(indices)}
        check(failure(ValueError, "max_pool1d_backward", grad, x, 1, **arguments), ["indices", "0"])
    assert numpool.max_pool1d_backward(grad, x, 1, 1, 1, indices=np.array([-1, 0, -1])) == [1]


def test_indices_and_y_of_another_kind():
    grad = np.ones((2, 3))
    for function, name, good in (
        ("max_pool2d_backward", "indices", np.array([[0, 2, 4], [12, 14, 16]])),
        ("lp_pool2d_backward", "y", np.ones((2, 3))),
    ):
        getattr(numpool, function)(grad, X, 2, **{name: good})
        wrong = ["complex64", object, "M8[s]", "U2"]
        wrong += ["float64", "bool"] if name == "indices" else ["int64", "bool"]
        for dtype in wrong:
            kwargs = {name: good.astype(dtype)}
            message = failure(TypeError, function, grad, X, 2, **kwargs)
            check(message, [rf"\b{name}\b", shown(kwargs[name].dtype)])
            check_out_untouched(TypeError, function, (grad, X, 2), kwargs)
        kwargs = {name: np.ma.array(good)}
        check(failure(TypeError, function, grad, X, 2, **kwargs), [name, r"\.filled\("])
        for shape in ((3, 2), (6,), (2, 3, 1), (1, 3), ()):
            kwargs = {name: np.zeros(shape, good.dtype)}
            message = failure(ValueError, function, grad, X, 2, **kwargs)
            check(message, [name, re.escape(str(shape)), r"\(2, 3\)"])
            check_out_untouched(ValueError, function, (grad, X, 2), kwargs)
