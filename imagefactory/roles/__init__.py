"""What an identity must be permitted to do, for each purpose and place, as lists and as role definitions. Pure.

Whether it is permitted is checked in `imagefactory.doctor`.
"""
