"""Datasets of labeled images: reading, checking, packing, batch order."""
