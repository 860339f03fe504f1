"""What the quick choice leaves out."""

from .making import cold_compile, first_call, timed

time_max = timed("max")
time_max_backward = timed("max", backward=True)
time_avg = timed("avg")
time_avg_backward = timed("avg", backward=True)
time_lp = timed("lp")
time_lp_backward = timed("lp", backward=True)

track_first_call_max_backward = first_call("max", backward=True)
track_first_call_avg = first_call("avg")
track_first_call_avg_backward = first_call("avg", backward=True)
track_first_call_lp = first_call("lp")
track_first_call_lp_backward = first_call("lp", backward=True)

track_cold_compile_max_backward = cold_compile("max", backward=True)
track_cold_compile_avg = cold_compile("avg")
track_cold_compile_lp = cold_compile("lp")
