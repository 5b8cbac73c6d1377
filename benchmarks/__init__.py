"""Timings beside what a user would otherwise use: `python -m benchmarks.NAME [--quick] [--json
FILE]`.
"""
