"""Whether a commit is slower than another: `python -m benchmarks.gate BASE HEAD`."""
