"""The W&B workspace of a study as code: SSIM against cost and latency, what made the difference, curves, comparison."""

import json
import re
import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lightning_mm.errors import InputError
from lightning_mm.runs import ARCH_PREFIX, Results
from lightning_mm.tracking.run import SAMPLES, STEP

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

BOTTLENECK = f"{ARCH_PREFIX}bottleneck"
REPORT_JOB = "report"
_MAX_RUNS = 500


def study_workspace(
    name: str, groups: Sequence[str], architecture: Iterable[str], project: str, entity: str = ""
) -> "Workspace":
    """Build the workspace of a study; nothing is sent.

    Args:
        name: Name of the study.
        groups: Groups whose runs are shown; all runs of the project where there are none.
        architecture: Dotted keys of the configuration for the parallel coordinates.
        project: Project of the runs.
        entity: User or team that the project belongs to.

    Raises:
        InputError: ``wandb-workspaces`` is not installed, or W&B's filters can't express the name of a group.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pydantic, which wandb-workspaces 0.4 uses by old names
        try:
            from wandb_workspaces import expr
            from wandb_workspaces.reports import v2 as panels
            from wandb_workspaces.reports.v2.interface import ParallelCoordinatesPlotColumn
            from wandb_workspaces.workspaces import RunsetSettings, Section, Workspace, WorkspaceSettings
        except ImportError:
            raise InputError("a workspace needs wandb-workspaces: pip install 'lightning_mm[dashboard]'") from None
    for group in groups:
        if found := re.search(r"['\"\\=<>]", group):
            raise InputError(f"run.wandb_group = {group!r}: W&B's filters can't express a name with {found.group()!r}")
    ssim = panels.SummaryMetric("ssim")

    def scatter(x: str, title: str) -> panels.ScatterPlot:
        return panels.ScatterPlot(title=title, x=panels.SummaryMetric(x), y=ssim, z=panels.Config(BOTTLENECK))

    def curve(metric: str) -> panels.LinePlot:
        return panels.LinePlot(title=metric, x=STEP, y=[metric], max_runs_to_show=_MAX_RUNS)

    columns = [ParallelCoordinatesPlotColumn(panels.Config(key), key.rsplit(".", 1)[-1]) for key in architecture]
    columns.append(ParallelCoordinatesPlotColumn(ssim, "SSIM"))
    trade_off = [
        scatter("paper_gflops", "SSIM against the paper's GFLOPs at 384 x 384 (colour: bottleneck)"),
        scatter("latency_ms", "SSIM against milliseconds per frame (colour: bottleneck)"),
        panels.ParallelCoordinatesPlot(title="Architecture and SSIM", columns=columns),
        panels.ParameterImportancePlot(with_respect_to="ssim"),
    ]
    training = [curve("val/ssim"), curve("train/loss"), panels.MediaBrowser(media_keys=[SAMPLES])]
    filters = [expr.Metric("JobType") != REPORT_JOB]
    if groups:
        filters.append(expr.Metric("Group").isin(list(groups)))
    return Workspace(
        entity=entity,
        project=project,
        name=f"{name}: trade-off",
        sections=[
            Section(name="Trade-off", panels=trade_off, is_open=True),
            Section(name="Training", panels=training, is_open=True),
            Section(name="Comparison", panels=[panels.RunComparer(diff_only="split")], is_open=True),
        ],
        settings=WorkspaceSettings(max_runs=_MAX_RUNS),
        runset_settings=RunsetSettings(
            filters=expr.And(*filters),
            pinned_columns=[f"summary:{column}" for column in ("ssim", "paper_gflops", "latency_ms", "params")],
        ),
    )


def serialise(workspace: "Workspace") -> dict[str, Any]:
    """The view that saving would send, as plain JSON types; needs no server."""
    view = workspace._to_model()  # there is no public way to see it
    return {"name": view.display_name, "spec": json.loads(view.spec.model_dump_json(by_alias=True, exclude_none=True))}


def save(workspace: "Workspace", url: str | None) -> str:
    """Send a workspace to W&B.

    Args:
        workspace: What ``study_workspace`` built.
        url: Where it was saved before: that view is replaced, unless it is gone.

    Returns:
        Its address.
    """
    from wandb_workspaces.workspaces import Workspace

    if url is not None:
        try:
            before = Workspace.from_url(url)
        except ValueError:  # deleted
            pass
        else:
            before.name, before.sections = workspace.name, workspace.sections
            before.settings, before.runset_settings = workspace.settings, workspace.runset_settings
            workspace = before
    return workspace.save().url


def architecture_keys(results: Sequence[Results]) -> list[str]:
    """Dotted keys of the architecture that differ among runs, or all of them where none do; numbers and words only."""
    archs = [result.arch for result in results]
    plain = [key for key in archs[0] if all(isinstance(arch.get(key), int | float | str) for arch in archs)]
    differing = [key for key in plain if len({arch[key] for arch in archs}) > 1]
    return [f"{ARCH_PREFIX}{key}" for key in differing or plain]
