"""Set-up of the local stack's tools: Python environments, the Pulumi engine, Go, Node.js and Azurite.

It writes only into the checkout and the user's cache folder; what is there and whole is used as it is.
"""
