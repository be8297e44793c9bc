"""Benchmarks: a question a file, null ends, a baseline in the same run. See ``python -m perf -h``."""
