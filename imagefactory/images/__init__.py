"""Factory images: the catalog, companions, lineage, tags, timestamps, and the VHDs with their ranges.

Everything that the factory writes down about an image is read and written here, as pure functions.
"""
