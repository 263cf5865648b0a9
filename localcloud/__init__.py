"""The embedded cloud of the local stack and the tests: emulators and a stand-in plugin, on this machine only.

The product does not import it; it connects to its endpoints.
"""
