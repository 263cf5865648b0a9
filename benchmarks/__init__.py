"""Measurements of the product on the embedded cloud, as ratios; `python -m benchmarks --help` tells how to run them.

Nothing here is part of the product, and nothing asserts a time.
"""
