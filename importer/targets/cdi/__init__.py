"""Images as DataVolumes of CDI: one POST to its upload proxy, then CDI's own work.

`shelf` is a storage class, `place` one import, `objects` what is made for it, `ready` and `end`
what is waited for, `proxy` where the bytes go and `upload` how, `answers` what CDI means by what it
says. What CDI does is in its sources (kubevirt/containerized-data-importer, v1.66).
"""
