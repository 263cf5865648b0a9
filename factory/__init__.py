"""What is done to the factory lab itself: saving its VMs, pruning its images, deleting its VMs.

Owns the acts; which ones, and why, is decided by plans of `imagefactory`. It shows nothing: commands do.
"""
