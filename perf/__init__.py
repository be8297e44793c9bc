"""Benchmarks: a question a file, null ends, a baseline in the same run. ``python -m perf -h``."""
