"""How much each hyperparameter matters for SSIM, by Optuna's default evaluator (PED-ANOVA)."""

import math

from lightning_mm.errors import one_line
from lightning_mm.reporting.sweep import Sweep, TrialRecord

MIN_TRIALS = 10
"""With fewer complete trials nothing is said about importances."""

TOP = 0.1
"""PED-ANOVA compares this share of the trials, the best, with all of them."""


def importances(sweep: Sweep) -> dict[str, float] | str:
    """Importance of each hyperparameter for a high SSIM.

    Returns:
        Dotted key to importance, highest first, summing to 1; or a sentence that says why there are none.
    """
    if not sweep.space:
        return "The importance of hyperparameters is not known: no search space is recorded."
    complete = [r for r in sweep.searched if r.is_complete and r.params.keys() <= sweep.space.keys() and r.params]
    if len(complete) < MIN_TRIALS:
        return (
            f"The importance of hyperparameters is estimated from {MIN_TRIALS} complete trials on; "
            f"there {'is' if len(complete) == 1 else 'are'} {len(complete)}."
        )
    if len({record.values[0] for record in complete}) == 1:
        return "The importance of hyperparameters is not known: every complete trial has the same SSIM."
    return _ped_anova(sweep.space, complete)


def importance_note(sweep: Sweep) -> str:
    """How the importances come about, and what they rest on."""
    complete = sum(record.is_complete for record in sweep.searched)
    top = math.ceil(TOP * complete)
    few = "" if top >= 5 else f" That is {'one trial' if top == 1 else f'{top} trials'}, so this is a rough guess."
    return (
        f"By PED-ANOVA: how much the values of the best {100 * TOP:g} % of the {complete} complete trials differ from "
        f"those of all of them, as shares that sum to 1. It says what mattered for being among the best in SSIM, in "
        f"this space and among these trials, and not in which direction.{few}"
    )


def _ped_anova(space: dict[str, str], complete: list[TrialRecord]) -> dict[str, float] | str:
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")  # PED-ANOVA takes low as good
    optuna.logging.set_verbosity(verbosity)
    try:
        distributions = {key: optuna.distributions.json_to_distribution(text) for key, text in space.items()}
        for record in complete:
            own = {key: distributions[key] for key in record.params}
            value = -record.values[0]
            study.add_trial(optuna.trial.create_trial(params=record.params, distributions=own, value=value))
    except (KeyError, TypeError, ValueError) as error:
        return (
            f"The importance of hyperparameters is not known: trials and search space do not fit ({one_line(error)})."
        )
    return optuna.importance.get_param_importances(study)
