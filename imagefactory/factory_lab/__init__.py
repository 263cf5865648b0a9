"""What is done to the factory lab: reading its catalog, saving its VMs, pruning its images, deleting its VMs.

Each module connects, asks `imagefactory.planning` what to do, does it, and returns a report; nothing is shown here.
"""
