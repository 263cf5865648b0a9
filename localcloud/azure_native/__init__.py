"""A stand-in for the azure-native plugin, for machines that cannot install the genuine one.

Implements `azure-native:devtestlab:CustomImage` against the embedded cloud, with the genuine plugin's behavior (checked
in pulumi/pulumi-azure-native, provider/pkg, version 3). Rejects every other resource type by name.
"""
