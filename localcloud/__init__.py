"""The embedded cloud of the local stack: emulators, stand-in plugins, and the tools that set them up.

Owns everything that runs on this machine only. The product never imports it: it is reached through endpoints alone.
"""
