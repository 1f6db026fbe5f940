"""Live view: a camera, a stream or a file, magnified while it is watched in a browser."""
