"""The full configuration of every model, compactly: one in full, of the others the lines that differ from it."""

import json
from collections.abc import Sequence
from difflib import SequenceMatcher

import yaml

from lightning_mm.reporting.model import Model

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times as fast, where it was built

Change = tuple[int, int, list[str]]
"""Lines of the base from the first index up to the second are replaced by these."""


def config_text(model: Model) -> str:
    """The configuration that reproduces a model's first seed, as YAML; empty where none is recorded."""
    config = model.results.config
    return yaml.dump(config, Dumper=_DUMPER, sort_keys=False, allow_unicode=True) if config else ""


def packed_configs(models: Sequence[Model]) -> tuple[list[str], list[list[Change] | None]]:
    """Configurations without what they share.

    Returns:
        Lines of the first model's configuration, and for each model the changes that make its own from them, first
        lines first; ``None`` for a model without one.
    """
    texts = [config_text(model).splitlines() for model in models]
    base = next((lines for lines in texts if lines), [])
    return base, [changes(base, lines) if lines else None for lines in texts]


def changes(base: Sequence[str], lines: Sequence[str]) -> list[Change]:
    """What to replace in ``base`` to get ``lines``."""
    matcher = SequenceMatcher(None, base, lines, autojunk=False)
    return [(i, j, list(lines[k:m])) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]


def configs_script(models: Sequence[Model]) -> str:
    """The data block that ``report.js`` reads configurations from, in the order of the models."""
    base, all_changes = packed_configs(models)
    data = json.dumps({"base": base, "changes": all_changes}, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="configs">{data}</script>'
