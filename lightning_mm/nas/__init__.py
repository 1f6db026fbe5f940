"""Architecture search with shared weights and with short trainings, and the comparison of the two."""
