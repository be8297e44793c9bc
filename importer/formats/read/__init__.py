"""Reads the guest data of a disk image: extents in guest order, and the map of them."""
