"""Images as BackingImages of Longhorn v1: one POST to its manager, then Longhorn's own work.

`shelf` is a storage class, `place` one import, `making` and `removal` what is made for it in the
cluster, `data_source` and `copies` what is waited for, `outgoing` and `upload` the bytes. What
Longhorn does is in its sources: LHM is longhorn-manager, BIM backing-image-manager.
"""
