"""What Azure said, as values: labs and their images, the factory's VMs, blobs, and ARM ids.

No rules and no calls: `imagefactory.azure` fills these values, `imagefactory.planning` judges them.
"""
