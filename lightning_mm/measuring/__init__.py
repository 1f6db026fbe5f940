"""Measuring motion in clips: tracked points, spectra, the band to magnify."""
