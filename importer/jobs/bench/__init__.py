"""The copy benchmark: the same image into storage classes, then a volume of it, then all away."""
