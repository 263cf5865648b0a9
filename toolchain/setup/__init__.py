"""Installs the local stack's tools: Python environments, the Pulumi engine, Go, Node.js and Azurite.

Writes only to the checkout and the user's cache folder, and keeps complete installations.
"""
