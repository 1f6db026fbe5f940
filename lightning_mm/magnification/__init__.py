"""Magnifying streams of frames: methods, what motion is measured from, and the engine that joins them."""
