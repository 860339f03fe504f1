"""Arrays on NVIDIA GPUs: the same functions, through numba-cuda."""


def compile_all(cc: tuple[int, int] = (9, 0)) -> dict[str, str]:
    """The PTX of all kernels by name, for a compute capability; no device is needed."""
    from numpool._cuda import compiling

    return compiling.compile_all(cc)
