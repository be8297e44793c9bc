"""The life of an image: store, queue, runner."""
