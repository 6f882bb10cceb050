"""What figures and grids of images share."""
