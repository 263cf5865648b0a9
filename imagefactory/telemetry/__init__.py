"""What a run reports while it works: phases, events of copies, traces and metrics, and a message to a channel.

Everything here is optional: a reader that is missing, slow or broken never delays or fails a run. Decides nothing.
"""
