"""How fast things are: the ``benchmark`` command."""
