"""The contract with the service: small experiments on Azure itself, or on the embedded cloud, and what they observed.

Does not test the code of this project: experiments send plain HTTP requests.
"""
