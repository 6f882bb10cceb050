"""Datasets: labelled images, cropped, resized and packed."""
