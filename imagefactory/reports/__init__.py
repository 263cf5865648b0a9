"""What people look at: the factory's catalog as one value, and as an HTML page that stands alone.

Pure functions that return values and texts; files and terminals belong to `imagefactory.cli`.
"""
