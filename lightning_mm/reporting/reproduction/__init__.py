"""Pages of the paper's tables: its numbers beside ours."""
