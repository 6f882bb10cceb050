"""SynthFaces: synthetic faces with an exact ground truth for every translation."""
