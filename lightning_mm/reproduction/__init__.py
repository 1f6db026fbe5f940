"""The paper's tables and figures: which trainings each needs, on which budget, and their outcome beside the paper's."""
