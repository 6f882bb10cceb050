"""SynthFaces: drawn faces whose translations have an exact ground truth."""
