"""Everything that speaks to Azure: no other room imports `azure.*`. Returns values of `imagefactory.observed`.

Each error of Azure is a `CloudError` with a remedy; no key, token or SAS gets into a value or a message.
"""
