"""Azure Resource Manager of the embedded cloud: labs, custom images, storage accounts, and the identity endpoint.

Owns what the product calls of ARM, with Azure's rules and answers. Refuses everything else with an error that says so.
"""
