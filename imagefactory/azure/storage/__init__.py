"""Storage accounts: how one is opened, and what is read and written there: VHDs, manifests, companions, save records.

`accounts` signs in to an account; every other module does one thing with it.
"""
