"""The state of a Pulumi stack: what it has of the labs' images, read, edited and written.

The `pulumi` command reads and writes it (`pulumi_command`); the rest are functions over the document that
`pulumi stack export` prints.
"""
