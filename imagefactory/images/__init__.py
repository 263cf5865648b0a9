"""Factory images: the catalog, companions, lineage, tags, timestamps, and the VHDs with their ranges.

Pure functions that read and write all that is stored about an image.
"""
