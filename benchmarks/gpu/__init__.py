"""The table of cases on a GPU: `python -m benchmarks.gpu`."""
