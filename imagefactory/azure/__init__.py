"""The only room that imports `azure.*`: what Azure says becomes values of `imagefactory.observed`.

Every refusal of Azure becomes one `CloudError` with a remedy; no key, token or SAS leaves in a value.
"""
