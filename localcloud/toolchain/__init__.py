"""What `dev.py` is made of: set-up of the local stack's tools, and its verbs.

Owns this machine's side only: environment, engine, Node.js, Azurite, processes. Standard library only, because it runs
before anything is installed. It refuses to write outside the checkout and the user's cache folder.
"""
