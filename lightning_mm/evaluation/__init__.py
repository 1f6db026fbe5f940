"""Judging magnifiers and methods that need no training by the same protocols, one module each."""
