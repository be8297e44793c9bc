"""Labels of ours, which whoever looks at the cluster's objects must know."""

UID = "image-importer/uid"
"""The image's uid. Whatever carries it was made for that image, and goes with it."""
