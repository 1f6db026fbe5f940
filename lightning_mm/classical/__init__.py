"""Classical magnification methods, for comparison with the learned ones.

Linear Eulerian (Wu et al., 2012) and phase-based magnification (Wadhwa et al., 2013) are patented in some countries (US
9,324,005, 9,805,475, 9,811,901 and 10,007,986), Riesz pyramids (Wadhwa et al., 2014) too (US 9,338,331); not legal
advice.
"""
