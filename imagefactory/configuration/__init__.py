"""The user's files, read and validated: labs.json, golden images, image paths and names, the stack's settings.

Reports all mistakes together, each with its location. Does not access Azure.
"""
