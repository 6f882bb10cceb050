"""What a run leaves behind: plain files first, MLflow as a view of them that can be rebuilt at any time."""
