"""The CPU engine: vector loops, the walks over the windows, and how kernels are built, kept on disk
and launched.
"""
