"""What Azure returned, as values: labs and their images, the factory's VMs, blobs, and ARM ids.

No rules and no requests: `imagefactory.azure` creates these values, `imagefactory.planning` decides by them.
"""
