"""Azure Resource Manager of the embedded cloud: labs, images, machines, storage accounts, and the identity endpoint.

Implements the calls that the product makes, with the rules and responses of Azure; all others return 404.
"""
