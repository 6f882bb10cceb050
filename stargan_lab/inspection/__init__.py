"""What built or trained networks see: receptive fields of discriminators, label sensitivity of generators."""
