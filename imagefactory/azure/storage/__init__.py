"""Storage accounts: the openers grant access, `accounts` chooses the way, each other module has one kind of call.

Those are page blobs, the ranges written into them, listings, the factory's container, ranges manifests, save records.
"""
