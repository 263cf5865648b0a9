"""Operations on the factory lab: read its catalog, save its VMs, prune its images, delete its VMs, promote its images.

Each one connects, has `imagefactory.planning` decide, acts, and returns a report. Does not print.
"""
