"""A stand-in for the azure-native plugin, where the genuine one cannot be installed.

Owns `azure-native:devtestlab:CustomImage` against the embedded cloud, with the genuine plugin's behaviour (checked in
pulumi/pulumi-azure-native, provider/pkg, version 3). Every other resource type is refused by name.
"""
