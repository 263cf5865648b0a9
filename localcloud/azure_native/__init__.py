"""A stand-in for the azure-native plugin, for machines that cannot install the genuine one.

Implements the custom image of DevTest Labs, and the galleries, definitions and versions of Compute, against the
embedded cloud, with the genuine plugin's behavior (checked in pulumi/pulumi-azure-native, provider/pkg, version 3).
Each resource type is one entry of `resource_types`; every other one is rejected by name.
"""
