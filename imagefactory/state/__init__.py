"""The state of a Pulumi stack: what it has of the labs' images, read, edited and written.

The `pulumi` command reads and writes it (`pulumi_command`), and its event logs tell what runs did (`run_log`); the rest
are functions over the document that `pulumi stack export` prints.
"""
