"""Tables of one method against its rivals, from what recipes recorded."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.harness.recipe import Recipe
from benchmarks.harness.records import deviation
from benchmarks.report.batches import mini_batches
from benchmarks.report.best_known import best_known
from benchmarks.report.markdown import gain_interval, markdown_table, measured, percent
from benchmarks.report.paired import adapter_edges, fair_graphs, path_choice
from graphkit.guard import reading
from graphkit.json_values import number
from graphkit.text_files import json_of, read_json

__all__ = [
    "TABLES",
    "class_incremental",
    "distillation",
    "factors",
    "skeleton_study",
    "skeletons",
    "strategies",
    "sweep",
    "task_prediction",
    "transferability",
]

RESULTS = Path(__file__).parent.parent / "results"

BARS = "▁▂▃▄▅▆▇█"
STREAMS = {
    "joint": "joint",
    "bone": "bone",
    "joint_motion": "joint motion",
    "bone_motion": "bone motion",
    "fusion2": "joint + bone",
    "fusion": "all four",
}
KINDS = {None: "modern", "authors-": "authors'", "long-": "modern, long", "wide-": "modern, wide"}
JUDGED = ("rho", "low", "high", "gain_low", "gain_high", "regret", "saved_low", "saved_high")
FLOORS = ("popularity", "random")
OWN = {"none": "no discriminator", "balance": "`FactorBalance` (ours)"}
Metrics = dict[str, dict[str, float]]


def recorded(recipes: Iterable[Recipe], pattern: str) -> list[tuple[re.Match[str], Recipe]]:
    """Recipes with a result whose whole name fits a pattern, by name."""
    matches = [(re.fullmatch(pattern, recipe.name), recipe) for recipe in recipes]
    return [(match, recipe) for match, recipe in matches if match and recipe.reproduced]


def factors(recipes: Iterable[Recipe]) -> str:
    """FactorGCN on synthetic graphs: what its factors are worth beside random gates.

    ``t`` is of the paired test of GED against random gates over the test graphs: below -2 means
    better; over several seeds its mean and deviation.
    """
    rows = []
    for match, recipe in recorded(recipes, r"factorgcn.*-synthetic(\d)"):
        metrics: Metrics = recipe.reproduced["metrics"]
        seeds = recipe.reproduced["seeds"]
        mean = {name: metric["mean"] for name, metric in metrics.items()}
        model = recipe.sections["model"]
        objective = OWN.get(model.get("objective", ""), "the paper's")
        width = model["hidden_channels"] // model["num_factors"]
        shares = [mean[f"gates_{i / 10:.1f}"] for i in range(10)]
        bars = "".join(BARS[min(int(8 * share), 7)] for share in shares)
        batch = str(recipe.sections["batch_size"])
        f1 = percent(measured(recipe, "test_f1"))
        cells = [match[1], objective, str(width), batch, str(seeds), f1]
        for stem, kind in (("ged", ".1f"), ("c", ".2f")):
            for rank in ("by_gate", "by_score", "random_gate", "single_graph"):
                cells.append(f"{mean[f'{stem}_{rank}']:{kind}}")
        for rank in ("gate", "score"):
            against = metrics[f"t_by_{rank}"]
            spread = "" if seeds == 1 else f" ± {against['std']:.0f}"
            # Where all graphs have one template there are no two rankings to tell apart.
            tested = math.isfinite(against["mean"])
            cells.append(f"{against['mean']:.0f}{spread}" if tested else "–")
        rows.append([*cells, bars])
    head = ["K", "objective", "width of a factor", "batch", "seeds", "F1"]
    head += [
        f"{what} {rank}"
        for what in ("GED", "C")
        for rank in ("by gate", "by score", "random", "one graph")
    ]
    head += ["t by gate", "t by score", "gates 0 … 1"]
    return markdown_table(head, sorted(rows))


def strategies(recipes: Iterable[Recipe]) -> str:
    """Continual learning on Amazon Computers: every strategy with every backbone."""
    by_strategy: dict[str, dict[str, str]] = {}
    for match, recipe in recorded(recipes, r"(\w+)-(gat|gcn|gin)-computers"):
        if "strategy" not in recipe.sections:
            continue
        row = by_strategy.setdefault(recipe.sections["strategy"]["name"], {})
        both = ("average_performance", "average_forgetting")
        row[match[2]] = ", ".join(percent(measured(recipe, name)) for name in both)
        theirs = recipe.reported.get("average_performance")
        if theirs and match[2] == "gat":
            lost = recipe.reported["average_forgetting"]["mean"]
            row["paper"] = f"{100 * theirs['mean']:.1f}, {100 * lost:.1f}"
    columns = {"paper": "TWP's program, GAT", "gat": "GAT", "gcn": "GCN", "gin": "GIN"}
    rows = [
        [name, *(row.get(key, "–") for key in columns)] for name, row in sorted(by_strategy.items())
    ]
    return markdown_table(["strategy (AP, AF in points)", *columns.values()], rows)


def class_incremental(recipes: Iterable[Recipe]) -> str:
    """Growing label sets: every strategy on every graph, best first, and what TPP gains.

    The gain is over the best strategy that does not keep all data; its 95 % interval is Welch's,
    from means and deviations of both.
    """
    rows = []
    graphs: dict[str, dict[str, Recipe]] = {}
    for match, recipe in recorded(recipes, r"cil-\w+-(\w+)"):
        graphs.setdefault(match[1], {})[recipe.sections["strategy"]["name"]] = recipe
    for graph, runs in graphs.items():
        order = sorted(runs, key=lambda name: -mean_of(runs[name], "average_performance"))
        for name in order:
            metrics = ("average_performance", "average_forgetting", "told_average_performance")
            figures = [percent(measured(runs[name], metric)) for metric in metrics]
            others = [each for each in order if each not in ("TPP", "JointTrain")]
            gain = ""
            if name == "TPP" and others:
                ours, theirs = runs[name], runs[others[0]]
                # Of one seed no deviation is known.
                if min(ours.reproduced["seeds"], theirs.reproduced["seeds"]) > 1:
                    low, high = welch(ours, theirs, "average_performance")
                    gain = f"{100 * low:+.1f} … {100 * high:+.1f} over {others[0]}"
            seeds = str(runs[name].reproduced["seeds"])
            rows.append([graph, name, *figures, gain, seeds])
    head = ["data", "strategy", "AA", "AF", "AA, task predicted", "TPP's gain", "seeds"]
    return markdown_table(head, rows)


def task_prediction(recipes: Iterable[Recipe]) -> str:
    """How often prototypes name the right task, and how that depends on who asks how."""
    rows = []
    for match, recipe in recorded(recipes, r"cil-tpp-(\w+)"):
        kinds = ("task_prediction", "apart_task_prediction", "node_task_prediction")
        figures = [percent(measured(recipe, f"{kind}_accuracy")) for kind in kinds]
        rows.append([match[1], *figures])
    head = ["data", "test nodes of a task together", "on a graph of their own", "one by one"]
    return markdown_table(head, rows)


def mean_of(recipe: Recipe, name: str) -> float:
    """The mean of a recorded metric."""
    return float(recipe.reproduced["metrics"][name]["mean"])


def welch(one: Recipe, other: Recipe, name: str) -> tuple[float, float]:
    """The 95 % interval of the difference of two recorded means with deviations of their own."""
    from scipy.stats import t

    both = [(each.reproduced["metrics"][name], each.reproduced["seeds"]) for each in (one, other)]
    parts = [metric["std"] ** 2 / seeds for metric, seeds in both]
    freedom = sum(part**2 / (seeds - 1) for part, (_, seeds) in zip(parts, both, strict=True))
    half = 0.0
    if sum(parts) > 0:
        half = t.ppf(0.975, sum(parts) ** 2 / freedom) * sum(parts) ** 0.5
    gain = mean_of(one, name) - mean_of(other, name)
    return gain - half, gain + half


def distillation(recipes: Iterable[Recipe]) -> str:
    """Every way of distilling: accuracy, and the paired difference to labels alone."""
    rows, arms = [], []
    for match, recipe in recorded(recipes, r"distill-(cora|citeseer|modelnet10)"):
        metrics = recipe.reproduced["metrics"]
        arms = ["labels", *recipe.sections["arms"]]
        for student in recipe.sections["students"]:
            for budget in recipe.sections["budgets"]:
                cells = []
                for arm in arms:
                    cell = percent(measured(recipe, f"{budget}_{student}_{arm}"))
                    gain = f"gain_{budget}_{student}_{arm}"
                    if gain in metrics:
                        low, high = gain_interval(recipe, gain)
                        cell += f" ({100 * low:+.1f} … {100 * high:+.1f})"
                    cells.append(cell)
                about = f"{match[1]}, {student}, {budget}"
                size = f"{metrics[f'{student}_parameters']['mean']:,.0f}"
                time = f"{metrics[f'{student}_ms']['mean']:.1f}"
                rows.append([about, size, time, *cells])
    return markdown_table(["data, student, budget", "parameters", "ms", *arms], rows)


def sweep(recipes: Iterable[Recipe]) -> str:
    """LSP less labels alone in points of test accuracy, by kernel, layer and weight."""
    rows: list[tuple[list[str], dict[float, str]]] = []
    for recipe in recipes:
        path = RESULTS / f"sweep-{recipe.name}-shallow.json"
        if not path.is_file():
            continue
        runs = read_json(path)
        with reading(path, advice="run `python -m benchmarks.studies.distillation_sweep` again"):
            gains = sweep_gains(runs, recipe.sections["students"]["shallow"]["pair"])
            name = f"{recipe.name.partition('-')[2]}, {len(runs)} seeds"
        rows += [([name, *place], row) for place, row in gains.items()]
    weights = sorted({weight for _, row in rows for weight in row})
    return markdown_table(
        ["data", "kernel", "layer", *(f"λ = {weight:g}" for weight in weights)],
        ([*about, *(row.get(weight, "–") for weight in weights)] for about, row in rows),
    )


def sweep_gains(runs: Any, pair: str) -> dict[tuple[str, str], dict[float, str]]:
    """What LSP gains by kernel and layer, and by weight; raises what it likes on other runs."""
    gains: dict[tuple[str, str], dict[float, str]] = {}
    for option in runs[0]:
        arm, _, text = option.partition(" ")
        if arm != "lsp":
            continue
        settings = json_of(text)
        lead = [100 * (run[option]["test"] - run["labels {}"]["test"]) for run in runs]
        spread = f" ± {deviation(lead):.1f}" if len(lead) > 1 else ""
        layer = settings.get("pair", [pair])[0]
        place = (str(settings["kernel"]), f"`{layer}`" if layer else "output")
        cell = f"{statistics.fmean(lead):+.1f}{spread}"
        gains.setdefault(place, {})[number(settings["weight"], "a weight")] = cell
    return gains


def skeletons(recipes: Iterable[Recipe]) -> str:
    """Every network on skeletons: accuracy of its streams and of their fusion."""
    rows = []
    for match, recipe in recorded(recipes, r"\w+?-(authors-|long-|wide-)?(nw-ucla|utd-mhad)"):
        result = recipe.reproduced
        cells = [percent(measured(recipe, f"{stream}_accuracy")) for stream in STREAMS]
        about = [match[2], recipe.sections["network"]["name"]]
        kind = KINDS[match[1]]
        rows.append([*about, kind, f"{result['parameters']:,}", str(result["seeds"]), *cells])
    head = ["data", "network", "recipe", "parameters", "seeds", *STREAMS.values()]
    return markdown_table(head, sorted(rows))


def skeleton_study(recipes: Iterable[Recipe]) -> str:
    """What a setting of the skeleton networks is worth on clips held out of the training part."""
    rows = []
    for recipe in recipes:
        held = recipe.sections.get("dataset", {}).get("held")
        if not held or not recipe.reproduced:
            continue
        network, view = recipe.sections["network"], recipe.sections["view"]
        result = recipe.reproduced
        ((fact, values),) = held.items()
        about = [f"{fact} {', '.join(map(str, values))}", str(network["hidden_channels"])]
        about += [str(view["num_frames"]), f"{view.get('joint_drop', 0):g}"]
        about += [f"{view['scale']:g}", str(recipe.sections["train"]["epochs"])]
        cost = [f"{result['parameters']:,}", f"{result['minutes'] / result['seeds']:.1f}"]
        cells = [percent(measured(recipe, f"{name}_accuracy")) for name in ("joint", "fusion")]
        rows.append([*about, *cost, str(result["seeds"]), *cells])
    head = ["held out", "width", "frames", "joints hidden, at most", "scale", "epochs"]
    head += ["parameters", "minutes a seed", "seeds", "joint", "all four"]
    return markdown_table(head, sorted(rows))


def transferability(recipes: Iterable[Recipe]) -> str:
    """Every ranking of a zoo: its correlation with the truth and the regret of its first choice.

    In square brackets the bootstrap's 95 % interval; in round ones that of what the ranking gains
    over popularity, in correlation and in points of accuracy.
    """
    rows = []
    for match, recipe in recorded(recipes, r"depara-(.+)-zoo"):
        mean = {name: metric["mean"] for name, metric in recipe.reproduced["metrics"].items()}
        for key in [key for key in mean if key.startswith("rho_")]:
            name = key.removeprefix("rho_")
            cells = [match[1], name.replace("_", " ")]
            for stem in ("", "probe_"):
                at = {part: mean[f"{stem}{part}_{name}"] for part in JUDGED}
                order = "{rho:.2f} [{low:.2f}, {high:.2f}]".format_map(at)
                first = f"{100 * at['regret']:.1f}"
                if name not in FLOORS:
                    order += " ({gain_low:+.2f} … {gain_high:+.2f})".format_map(at)
                    ends = (100 * at[f"saved_{end}"] for end in ("low", "high"))
                    first += " ({:+.1f} … {:+.1f})".format(*ends)
                cells += [order, first]
            rows.append(cells)
    head = ["zoo", "ranking", "ρ, fine-tuned", "regret", "ρ, probed", "regret"]
    return markdown_table(head, rows)


TABLES: dict[str, Any] = {
    "best_known": best_known,
    "factors": factors,
    "strategies": strategies,
    "class_incremental": class_incremental,
    "task_prediction": task_prediction,
    "distillation": distillation,
    "sweep": sweep,
    "skeletons": skeletons,
    "transferability": transferability,
    "mini_batches": mini_batches,
    "adapter_edges": adapter_edges,
    "fair_graphs": fair_graphs,
    "path_choice": path_choice,
    "skeleton_study": skeleton_study,
}
