"""What every call to Azure needs: the clouds, the sign-in, the resource manager, and refusals as errors.

It is the lowest part of `imagefactory.azure` and knows nothing of labs, machines or blobs.
"""
