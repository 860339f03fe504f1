"""What the CPU has that numba compiles for."""

from numba.core import registry


def has_conversions():
    """Instructions that convert float16 to float32 and back."""
    triple, _, features = _target()
    return "+f16c" in features or triple.startswith(("aarch64", "arm64"))


def loads_lanes(itemsize):
    """Instructions that load some lanes of vectors of elements of so many bytes."""
    _, _, features = _target()
    return stores_lanes() or ("+avx" in features and itemsize >= 4)


def stores_lanes():
    """Quick ones that store some lanes of vectors of any elements: AVX-512. Those of AVX take some
    CPUs 40 steps.
    """
    _, _, features = _target()
    return {"+avx512bw", "+avx512vl"} <= set(features)


def _target():
    triple, name, features = registry.cpu_target.target_context.codegen().magic_tuple()
    return triple, name, features.split(",")
