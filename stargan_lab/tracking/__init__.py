"""Records of runs: plain files, and MLflow as a view of them that can be rebuilt at any time."""
