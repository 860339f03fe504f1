"""Benchmarks of numpool beside its peers and beside the speed of memory."""
