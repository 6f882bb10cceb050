"""Datasets of labelled images: reading, checking, packing, batch order."""
