"""Classical magnification methods, for comparison with the learned ones."""
