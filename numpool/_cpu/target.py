"""What the CPU has that numba compiles for."""

from numba.core import registry


def has_conversions():
    """Instructions that convert float16 to float32 and back."""
    triple, _, features = _target()
    return "+f16c" in features or triple.startswith(("aarch64", "arm64"))


def has_wide_vectors():
    """AVX-512, which has masks for elements of any size, and compares integers of 64 bits."""
    _, _, features = _target()
    return {"+avx512bw", "+avx512vl"} <= set(features)


def loads_lanes(itemsize):
    """Instructions that load some lanes of vectors of elements of so many bytes."""
    _, _, features = _target()
    return has_wide_vectors() or ("+avx" in features and itemsize >= 4)


def stores_lanes():
    """Quick ones that store some lanes. Those of AVX take some CPUs 40 steps."""
    return has_wide_vectors()


def _target():
    triple, name, features = registry.cpu_target.target_context.codegen().magic_tuple()
    return triple, name, features.split(",")
