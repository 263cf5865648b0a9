"""Measures the product on the embedded cloud and prints ratios: `python -m benchmarks --help`.

Is not part of the product. Does not assert times.
"""
