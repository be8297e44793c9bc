"""Takes a VM disk image from a client or a URL and makes a bootable volume of it."""

__version__ = "0.1.0"
