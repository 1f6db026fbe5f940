"""Architecture search: Optuna sweeps over any dotted configuration key."""
