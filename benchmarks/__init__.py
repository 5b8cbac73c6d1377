"""Timings beside what a user has else: `python -m benchmarks.NAME [--quick] [--json FILE]`."""
