"""Web demo: upload a clip, see what vibrates in it, magnify it, compare."""
