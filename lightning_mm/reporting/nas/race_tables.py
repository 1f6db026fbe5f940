"""Tables of a race, as cells that the page and the Markdown share."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from lightning_mm.evaluation.methods import FRAME_B
from lightning_mm.markdown import markdown_table
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.nas.claim import Claim, mean_over_levels
from lightning_mm.reporting.nas.race_records import Race, arm_name, finalist_name, supernet_seconds
from lightning_mm.reporting.run import DASH, plain, signed


@dataclass(frozen=True)
class Grid:
    """Cells.

    Attributes:
        head: Headings.
        rows: Cells of each row, as many as headings.
        words: Numbers of columns of text, which lines may break.
        marked: Numbers of rows that stand out.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()
    marked: Sequence[int] = ()

    def html(self) -> str:
        """For the page."""
        head = self._row("th", ' scope="col"', self.head)
        body = ""
        for number, row in enumerate(self.rows):
            body += f"<tr{' class=reference' if number in self.marked else ''}>{self._row('td', '', row)}</tr>"
        return f'<div class="scroll"><table class="plain numbers"><tr>{head}</tr>{body}</table></div>'

    def _row(self, tag: str, attributes: str, cells: Sequence[str]) -> str:
        kinds = [" class=words" if number in self.words else "" for number in range(len(cells))]
        pairs = zip(kinds, cells, strict=True)
        return "".join(f"<{tag}{attributes}{kind}>{escape(cell)}</{tag}>" for kind, cell in pairs)

    def markdown(self) -> str:
        """For the text."""
        return markdown_table(self.head, self.rows)


def claim_grid(claim: Claim) -> Grid:
    """The rule, what was measured, whether it is met."""
    rows = [[check.rule, check.measured, check.word] for check in [*claim.quality, *claim.conditions]]
    return Grid(["condition", "measured", "met"], rows, words=(0, 1))


def ranking_grid(race: Race) -> Grid:
    """Quality of cheap estimates."""
    head = ["estimate", "tau", "standard error", "networks", "tau of GFLOPs on the same", "precision at the top 20 %"]
    rows = []
    for item in race.rankings:
        told = [_number(item.tau, 2), _number(item.error, 2), str(item.networks), _number(item.cost_tau, 2)]
        top = DASH if item.precision is None else f"{100 * item.precision:.0f} %"
        trusted = "control" if item.is_control else "yes" if item.trusted else "no"
        rows.append([item.name, *told, top, _number(item.regret, 4), trusted])
    marked = [number for number, item in enumerate(race.rankings) if item.is_control]
    return Grid([*head, "regret of its best 5", "trusted to rank"], rows, marked=marked)


def arms_grid(race: Race) -> Grid:
    """What each arm did."""
    head = ["arm", "seconds", *(f"trained to {epochs}" for epochs in race.rungs)]
    head += ["duplicates", "infeasible", "diverged", "exhausted", "best SSIM (epochs)", "its GFLOPs", "regret"]
    rows = []
    for name, arm in race.record.arms.items():
        counts, event = race.trainings(name), race.returned(name)
        best = DASH if event is None else f"{event['ssim']:.4f} ({event['epochs']})"
        cost = DASH if event is None else f"{event['gflops']:.2f}"
        told = [f"{arm['seconds']:.0f}", *(str(counts[epochs]) for epochs in race.rungs)]
        told += [str(arm[key]) for key in ("duplicates", "infeasible", "diverged")]
        exhausted = "yes" if arm["exhausted"] else "no"
        rows.append([arm_name(name), *told, exhausted, best, cost, _number(race.regret(name), 4)])
    return Grid(head, rows)


def finalists_grid(race: Race) -> Grid:
    """What each finalist costs and reaches."""
    head = ["finalist", "from", "FLOPs [G]", "parameters", "latency [ms]", "SSIM, choosing seeds", "SSIM, claim seeds"]
    head += ["PSNR [dB]", "LPIPS"]
    rows, marked = [], []
    for number, (name, entry) in enumerate(race.record.finalists.items()):
        model = race.chosen_by.get(name) or race.claimed_by.get(name)
        arms = ", ".join(dict.fromkeys(arm_name(arm) for arm in entry["from"])) or DASH
        title = finalist_name(name) + (" (chosen)" if name == race.record.chosen else "")
        costs = [f"{entry['gflops']:.2f}", plain(entry["params"]), latency_text(model)]
        scores = [_score(race, name, kind, models) for kind, models in _kinds(race)]
        rows.append([title, arms, *costs, *scores, _metric(model, "psnr", 2), _metric(model, "lpips", 4)])
        marked += [number] if name == race.record.chosen else []
    return Grid(head, rows, marked=marked)


def genes_grid(race: Race) -> Grid | None:
    """Genes of the finalists, a column each; ``None`` where there are none."""
    entries = {name: entry for name, entry in race.record.finalists.items() if entry["genes"]}
    if not entries:
        return None
    names = list(race.rows[0].choices) if race.rows else []
    count = max(len(entry["genes"]) for entry in entries.values())
    names = names if len(names) == count else [f"choice {number + 1}" for number in range(count)]
    rows = [[name, *(_gene(entry["genes"], i) for entry in entries.values())] for i, name in enumerate(names)]
    return Grid(["choice", *map(finalist_name, entries)], rows)


def subpixel_grid(race: Race) -> Grid | None:
    """SSIM by motion; ``None`` where the test was not made."""
    rows = race.record.subpixel
    if not rows:
        return None
    motions = sorted({row["motion"] for row in rows})
    found = {(row["method"], row["motion"]): row for row in rows}
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [_subpixel(found.get((method, motion))) for motion in motions]
        name = "return frame B" if method == FRAME_B else finalist_name(method)
        lines.append([name, *cells, _number(mean_over_levels(rows, method), 4)])
    alphas = {row["motion"]: row["alpha"] for row in rows}
    return Grid(["", *(f"{m:g} px, factor {alphas[m]:g}" for m in motions), "mean"], lines)


def supernet_facts(race: Race) -> list[str]:
    """Sentences on what became of the supernet; empty where no arm has one."""
    found = []
    for name, arm in race.record.arms.items():
        training, search = arm["supernet"].get("training", {}), arm["supernet"].get("search", {})
        if not training:
            continue
        verb = {"trained": "was trained for", "diverged": "diverged after"}.get(training.get("status"), "stopped after")
        told = f"The {arm_name(name)} {verb} {plain(training.get('steps'))} steps"
        if reason := training.get("reason"):
            told += f" ({reason})"
        told += f"; its training and search took {supernet_seconds(arm):.0f} s of the arm's {arm['seconds']:.0f} s"
        probes = training.get("ssim") or {}
        if probes:
            shown = ", ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in probes.items())
            told += f". SSIM with inherited weights: {shown}"
            told += ", inverted: its largest network is worse than its smallest" if training.get("inverted") else ""
        if search:
            told += f". The search scored {plain(search.get('evaluated'))} networks"
            counts = [f"{plain(search[key])} {key}" for key in ("duplicates", "infeasible", "filled") if key in search]
            told += f" ({', '.join(counts)})" if counts else ""
        found.append(f"{told}.")
    return found


def latency_text(model: Model | None) -> str:
    """Mean latency over a model's runs."""
    times = [] if model is None else [run.milliseconds for run in model.runs if run.milliseconds is not None]
    return f"{sum(times) / len(times):.2f}" if times else DASH


def interval_text(claim: Claim) -> str:
    """The difference of SSIM with its interval."""
    difference = claim.difference
    if difference is None:
        return "no difference of SSIM is known"
    if difference.low is None or difference.high is None:
        return f"difference of SSIM {signed(difference.value)}, without an interval"
    ends = f"{signed(difference.low)} to {signed(difference.high)}"
    return f"difference of SSIM {signed(difference.value)}, 95 % interval {ends}, {difference.method}"


def _kinds(race: Race) -> list[tuple[str, dict[str, Model]]]:
    return [("seeds", race.chosen_by), ("claim_seeds", race.claimed_by)]


def _score(race: Race, name: str, kind: str, models: dict[str, Model]) -> str:
    lost = [str(seed) for seed in race.record.spec[kind] if f"{name} {seed}" in race.record.diverged]
    parts = [models[name].text("ssim", 4)] if name in models else []
    parts += [f"seed {', '.join(lost)} diverged"] if lost else []
    return "; ".join(parts) or DASH


def _metric(model: Model | None, metric: str, digits: int) -> str:
    value = None if model is None else model.mean(metric)
    return DASH if value is None else f"{value:.{digits}f}"


def _subpixel(row: dict[str, float] | None) -> str:
    return DASH if row is None else f"{row['ssim']:.4f}"


def _gene(genes: Sequence[object], number: int) -> str:
    return str(genes[number]) if number < len(genes) else DASH


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
