"""Making the weights that ship: train a stretch, measure on the fixed sets, write the file, its card and its log."""
