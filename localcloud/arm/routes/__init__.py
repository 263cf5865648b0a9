"""The calls that the resource manager supports, by subject: paths, request and response bodies.

The rules behind them are in the package above. Does not check tokens or inject faults: `app` does.
"""
