"""Formats: what a file is, whether it is safe, how large its disk is."""
