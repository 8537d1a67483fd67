"""What a sweep is, on its way to its folder and back, and the table of what is known of it."""

import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from optuna.trial import FrozenTrial

from jaxgan import methods, origin, records
from jaxgan.config import InputError, Natural, check, from_dict, nearest, number_fields
from jaxgan.metrics.score import difference, from_record
from jaxgan.results import Outcome, Results, Row, chosen, told
from jaxgan.sweeps import book, space
from jaxgan.train import Loop


@dataclass(frozen=True)
class Options:
    """How a sweep goes about it."""

    sampler: Literal["grid", "random", "qmc", "tpe", "cmaes"] = "grid"
    """grid: every combination; random and qmc draw --trials of them, tpe and cmaes look at what was found"""
    trials: Natural = 0  # configurations, of all samplers but the grid
    pruner: Literal["none", "halving", "hyperband"] = "none"
    """stop all but a third of the configurations at --evaluate-every steps, at three times as many, ..."""
    baseline: str | None = None
    """FIELD=VALUE,...: what the others are compared with; the config as it is if not given"""
    metric: str | None = None  # the score to compare by; the first if not given
    fail_fast: bool = False  # stop at the first lane whose figures are not finite
    storage: str | None = None
    """a database that several machines share, such as postgresql://USER@HOST/NAME; if not given, the folder's
    own"""
    at_once: Natural = 0  # lanes under way at a time; 0: 16, or as many as there is room for


class Plan(NamedTuple):
    """A sweep that is about to begin or to go on."""

    root: Path
    method: methods.Method
    experiment: dict[str, Any]
    cfg: Any
    loop: Loop
    options: Options
    space: space.Space
    seeds: list[int]
    baseline: dict[str, Any] | None
    text: bytes | None  # the method's source, of one that is not installed

    @property
    def record(self) -> dict[str, Any]:
        """What must be the same for a sweep to go on."""
        free = {"seed", *space.fields(self.space)}
        own = {k: v for k, v in dataclasses.asdict(self.cfg).items() if k not in free}
        computes = {name: getattr(self.loop, name) for name in ("patience", "accumulate", "evaluate_every")}
        learns = self.options.sampler in book.LEARNING
        return {
            "experiment": methods.name_of(self.experiment),
            "code": self.experiment["digest"],
            "varied": sorted(self.space),
            **own,
            **computes,
            "sampler": self.options.sampler,
            "pruner": self.options.pruner,
            "first seed": self.seeds[0],
            **({"space": plain_space(self.space), "seeds": len(self.seeds)} if learns else {}),
        }

    def of(self, values: Mapping[str, Any], seed: int):
        """The config of a lane."""
        return check(dataclasses.replace(self.cfg, **values, seed=seed))


def plain_space(varied: space.Space) -> dict[str, Any]:
    """A space as JSON has it."""
    return {
        name: list(values)
        if isinstance(values, tuple)
        else {"low": values.low, "high": values.high, "log": values.log}
        for name, values in varied.items()
    }


def label(config: Mapping[str, Any]) -> str:
    """The name of a configuration's folder, which no other one has."""
    text = ",".join(f"{name}={told(value)}" for name, value in config.items())
    plain = re.sub(r"[^\w.,=+-]", "_", text)
    if plain == text and len(text) < 120:
        return text
    return f"{plain[:100]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def typed(cfg, values: dict[str, Any]) -> dict[str, Any]:
    """A configuration as JSON had it, in the types of its fields."""
    found = from_dict(type(cfg), records.plain(dataclasses.asdict(cfg) | values))
    return {name: getattr(found, name) for name in values}


def space_of(cfg, values: dict[str, Any]) -> space.Space:
    """A space as `_plain` had it."""
    draw = {True: space.log_uniform, False: space.uniform}
    return {
        name: draw[own["log"]](own["low"], own["high"])
        if isinstance(own, dict)
        else tuple(typed(cfg, {(f := name.partition(",")[0]): value})[f] for value in own)
        for name, own in values.items()
    }


def known(root: Path) -> dict[str, Any] | None:
    """A folder's sweep.json; None if there is none."""
    try:
        return records.parsed((root / "sweep.json").read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, OSError) as e:
        raise InputError(f"{root / 'sweep.json'} is damaged ({e}); choose another --name") from None


def config_of(before: dict[str, Any], root: Path):
    """The config of a sweep.json."""
    return from_dict(origin.module(before["experiment"], root).Config, before["config"])


def extended(plan: Plan, known: dict[str, Any]) -> Plan:
    """The sweep with what its folder has already beside what is asked for now."""
    before = space_of(plan.cfg, known["space"])
    varied = {}
    for name, values in plan.space.items():
        old = before[name]
        if isinstance(old, tuple) != isinstance(values, tuple):
            was = "listed" if isinstance(old, tuple) else "drawn"
            raise InputError(f"{plan.root} holds another sweep ({name} was {was}); choose another --name")
        varied[name] = (*old, *(v for v in values if v not in old)) if isinstance(old, tuple) else values
    options = dataclasses.replace(plan.options, trials=max(plan.options.trials, known["options"]["trials"]))
    seeds = range(plan.cfg.seed, plan.cfg.seed + max(len(plan.seeds), known["seeds"]))
    return plan._replace(space=varied, options=options, seeds=list(seeds))


def remember(plan: Plan, study: str) -> None:
    """Writes sweep.json."""
    own = plan.options.storage
    records.write(
        plan.root / "sweep.json",
        {
            "plan": plan.record,
            "study": study,
            "experiment": plan.experiment,
            "config": dataclasses.asdict(plan.cfg),
            "loop": dataclasses.asdict(plan.loop),
            "options": dataclasses.asdict(plan.options) | {"storage": own and book.shown(own)},
            "space": plain_space(plan.space),
            "seeds": len(plan.seeds),
            "baseline": plan.baseline,
        },
    )


def baseline_of(
    cfg, varied: space.Space, options: Options, given: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The configuration that the others are compared with, or None where the grid has not that of the config.

    Raises:
      InputError: if one is asked for that the grid has not.
    """
    text = given if given is not None else options.baseline
    asked = (
        space.of_text(type(cfg), options.baseline)
        if given is None and options.baseline
        else dict(given or {})
    )
    known = space.fields(varied)
    if stray := [name for name in asked if name not in known]:
        raise InputError(f"--baseline {text}: {stray[0]} is not varied{nearest(stray[0], known)}")
    found = {}
    for name, values in varied.items():
        own = name.split(",")
        named = {field: asked[field] for field in own if field in asked}
        each = list((named or {field: getattr(cfg, field) for field in own}).values())
        value = getattr(check(dataclasses.replace(cfg, **space.assigned(name, each[0]))), own[0])
        if any(x != each[0] for x in each) or (isinstance(values, tuple) and value not in values):
            if text is not None:
                where = "" if named else " (the config's own)"
                has = ", ".join(map(told, values))
                raise InputError(
                    f"--baseline {text}: {name}={told(value)}{where} is not in the sweep, which has {has}"
                )
            return None
        found |= space.assigned(name, value)
    return found if options.sampler == "grid" or text is not None else None


def check_options(options: Options, varied: space.Space) -> None:
    """Raises InputError if a sampler does not go with what is varied."""
    if options.sampler == "grid":
        space.grid(varied)
        if options.trials:
            raise InputError(
                f"--trials {options.trials}: a grid has every combination; or give --sampler random"
            )
    elif not options.trials:
        raise InputError(f"--sampler {options.sampler} draws --trials N configurations: say how many")


def check_pruner(plan: Plan, steps: int) -> None:
    """Raises InputError if there is nothing that a pruner could look at."""
    if plan.options.pruner != "none" and not 0 < plan.loop.evaluate_every < steps:
        raise InputError(
            f"--pruner {plan.options.pruner} looks at the scores of --evaluate-every, which must come before "
            f"the last of {steps} steps"
        )


def own_storage(root: Path) -> str:
    """The address of a sweep's own book."""
    return f"sqlite:///{(root / 'study.db').absolute()}"


def storage_of(before: dict[str, Any], root: Path) -> str:
    """Where the book of a sweep.json is."""
    return before["options"]["storage"] or own_storage(root)


def configs_of(plan: Plan) -> list[dict[str, Any]]:
    """The configurations that are known from the start; [] where a sampler looks at what was found."""
    name = plan.options.sampler
    if name in book.LEARNING:
        return []
    configs = space.grid(plan.space) if name == "grid" else book.drawn(name, plan.space, plan.options.trials)
    # Those of one program side by side: what is static changes slowest.
    numbers = number_fields(type(plan.cfg))
    static = [field for field in space.fields(plan.space) if field not in numbers]
    values = {field: list(dict.fromkeys(told(c[field]) for c in configs)) for field in static}
    return sorted(configs, key=lambda c: [values[field].index(told(c[field])) for field in static])


def results(
    every: list[FrozenTrial],
    metric: str | None,
    baseline,
    seeds: int,
    title: str,
    order: list[str],
    values: Callable,
) -> Results:
    """The table of the trials of a study.

    Raises:
      InputError: if their scores are not comparable, or none has the metric.
    """
    outcomes: dict[str, dict[int, Outcome]] = {}
    configs, scores = {}, {}
    for trial in every:
        attrs = trial.user_attrs
        if "config" not in attrs:
            continue
        key = book.identity(attrs["config"])
        configs[key] = attrs["config"]
        mine = outcomes.setdefault(key, {})
        for seed, own in attrs.get("lanes", {}).items():
            rest = (
                own["failed"],
                own["dropped"],
                own["folder"],
                tuple(own.get("troubles", ())),
                own.get("pace"),
            )
            mine[int(seed)] = Outcome(int(seed), own["figures"], *rest)
        for name, record in attrs.get("protocols", {}).items():
            score = from_record(record)
            if (apart := difference(score, scores.setdefault(name, score))) is not None:
                raise InputError(
                    f"{name} of {label(attrs['config'])} and of others are not comparable: {apart}"
                )
    place = {key: i for i, key in enumerate(order)}
    keys = sorted(configs, key=lambda key: place.get(key, len(place)))
    rows = tuple(
        Row(values(configs[key]), tuple(o for _, o in sorted(outcomes[key].items()))) for key in keys
    )
    protocols = {name: score.protocol for name, score in scores.items()}
    planned = max([seeds, *(len(row.outcomes) for row in rows)])
    return Results(title, chosen(metric, list(protocols)) or "score", protocols, rows, baseline, planned)


def gathered(every: list[FrozenTrial], before: dict[str, Any], root: Path, cfg) -> Results:
    """The results of the trials of a sweep, so far.

    Args:
      before: its sweep.json.
      cfg: its config.
    """
    order = []
    if before["options"]["sampler"] == "grid":
        order = [
            book.identity(records.plain(config)) for config in space.grid(space_of(cfg, before["space"]))
        ]
    values, title = functools.partial(typed, cfg), f"{methods.name_of(before['experiment'])}/{root.name}"
    baseline = None if before["baseline"] is None else values(before["baseline"])
    return results(every, before["options"]["metric"], baseline, before["seeds"], title, order, values)
