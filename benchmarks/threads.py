"""How many threads everyone gets; to be imported before any peer, since some ask at import."""

import os

import numba

COUNT = min(int(os.environ.get("BENCHMARK_THREADS", "2")), numba.config.NUMBA_NUM_THREADS)

numba.set_num_threads(COUNT)
# XLA's pool of threads can only be told by the environment.
os.environ.setdefault("NPROC", str(COUNT))
os.environ.setdefault("PJRT_NPROC", str(COUNT))
