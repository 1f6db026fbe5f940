"""Training data: exact synthetic pairs rendered on the device, and the data set of Oh et al. (2018)."""
