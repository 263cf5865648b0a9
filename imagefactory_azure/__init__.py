"""The only place that speaks to Azure: credentials, clouds, labs and their images, the factory's storage, page blobs.

It owns every `azure.*` import of the product and turns each refusal of the service into one `CloudError` with a
remedy. It decides nothing about which image goes where (that is `imagefactory.plan`), and it never writes a key, a
token or a SAS into a value that leaves it.
"""
