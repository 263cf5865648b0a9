"""The user's files, read and checked: labs.json, golden images, image paths and names, the stack's settings.

Every mistake is found at once, with its place; nothing here asks Azure.
"""
