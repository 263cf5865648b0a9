"""Asynchronous work that many callers share: done once for all who wait, or renewed before it expires.

Independent of Azure and of images.
"""
