"""Reports for users: the factory's catalog as one value, and as a self-contained HTML page.

Pure functions that return values and strings. Does not write files or print: `imagefactory.cli` does.
"""
