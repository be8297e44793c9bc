"""Guest data as it travels: extents in, the bytes of a wire form out, in one pass."""
