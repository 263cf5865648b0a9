"""The page of all messages, docs/messages.md, from the product's source: `python -m toolchain.messages`."""
