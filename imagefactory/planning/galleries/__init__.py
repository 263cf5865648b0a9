"""Decisions on Compute Galleries: what is written, given what exists.

Pure functions of observed values; `imagefactory.azure` sends the requests."""
