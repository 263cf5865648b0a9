"""What every call to Azure needs: clouds, credentials, the resource manager, retries and errors.

Does not know labs, machines or blobs.
"""
