"""Asynchronous work that many share: done once for all who wait, or renewed before it expires.

It knows nothing of Azure and nothing of images.
"""
