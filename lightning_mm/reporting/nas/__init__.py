"""Pages of the architecture searches: the appendix's experiments and the race."""
