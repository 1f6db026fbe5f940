"""Learning to remove redundant components of a magnifier (Section 5.1): switches, the cut, fine-tuning."""
