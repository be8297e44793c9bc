"""The HTTP face: images, events, inspection, authentication, and the description of all that."""
