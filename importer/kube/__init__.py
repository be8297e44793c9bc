"""The cluster: its API, the storage classes in it, and the objects that images are made of.

`connection` alone imports the client library, and only when a cluster is used. Objects travel as
plain dicts, as the API gives them; `objects` has typed views of those that are looked at.
"""
