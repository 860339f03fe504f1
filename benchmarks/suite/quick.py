"""The quick choice: `asv run --bench ^quick`."""

from .making import cold_compile, first_call, import_time, peakmem, timed, to_copy

time_max = timed("max", quick=True)
time_max_backward = timed("max", backward=True, quick=True)
time_avg = timed("avg", quick=True)
time_avg_backward = timed("avg", backward=True, quick=True)
time_lp = timed("lp", quick=True)
time_lp_backward = timed("lp", backward=True, quick=True)

track_max_to_copy = to_copy("max")
track_max_backward_to_copy = to_copy("max", backward=True)
track_avg_to_copy = to_copy("avg")
track_avg_backward_to_copy = to_copy("avg", backward=True)
track_lp_to_copy = to_copy("lp")
track_lp_backward_to_copy = to_copy("lp", backward=True)

peakmem_max = peakmem("max")
peakmem_max_backward = peakmem("max", backward=True)
peakmem_avg = peakmem("avg")
peakmem_avg_backward = peakmem("avg", backward=True)
peakmem_lp = peakmem("lp")
peakmem_lp_backward = peakmem("lp", backward=True)

track_import = import_time()
track_first_call_max = first_call("max")
track_cold_compile_max = cold_compile("max")
