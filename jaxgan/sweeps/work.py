"""The work of a sweep: trials are claimed, their lanes trained, and what became of them is written down."""

import dataclasses
import hashlib
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import Trial

from jaxgan import lanes, records, run, statistics, train, troubles
from jaxgan.config import InputError, first_difference
from jaxgan.metrics.score import from_record
from jaxgan.program import Program
from jaxgan.results import Row, chosen
from jaxgan.sweeps import book
from jaxgan.sweeps.plan import Plan, label, typed

EDITED = "a step computes something else: its losses, networks or optimisers have been edited"


class Work(NamedTuple):
    """What a process needs to work on a sweep."""

    plan: Plan
    book: book.Book
    data: Any
    programs: Callable  # as `train.programs_of`
    at_once: int  # lanes that are under way
    width: int  # lanes in a call, side by side; 0: in turn
    steps: int  # of a lane
    how: str  # to go on


class Clash(InputError):
    """A folder holds another run than the sweep's."""


def check_program(plan: Plan, own: book.Book, one: Program) -> None:
    """Raises Clash if a program was edited since the sweep first ran it: its numbers would not be comparable,
    also where no run that is there is of its configuration."""
    arguments = {"seed", *one.names}
    form = {k: v for k, v in dataclasses.asdict(one.cfg).items() if k not in arguments}
    if not book.recognised(
        own.study, hashlib.sha256(book.identity(records.plain(form)).encode()).hexdigest()[:16], one.digest
    ):
        raise Clash(f"{plan.root} holds another sweep ({EDITED}); choose another --name")


def work_on(work: Work) -> None:
    """Claims trials and runs them, until there is nothing left."""
    plan, options = work.plan, work.plan.options
    study = work.book.study
    learn = None
    if options.sampler in book.LEARNING:
        learn = options.sampler, plan.space, options.trials, plan.seeds
    many = 1 if learn is not None and options.pruner == "none" else max(1, work.at_once // len(plan.seeds))
    waits = False
    while True:
        claimed = book.claim(work.book, many, learn)
        if claimed:
            waits = False
            with book.beating(work.book, claimed):
                failed = False
                try:
                    failed = _run_trials(work, claimed)
                except run.InUse as e:  # one who was taken for gone, and is not
                    print(f"{e}: it is left to that one", file=sys.stderr)
                    time.sleep(book.BEAT)
                finally:
                    every = study.get_trials(deepcopy=False)
                    for trial in claimed:  # those that were told stay as they are
                        book.give_back(work.book, every[trial.number])
            if failed and options.fail_fast:
                return
        elif others := book.others_at_work(study):
            if not waits:
                print(f"waiting for {others} configurations that other processes have claimed")
            waits = True
            time.sleep(1)
        else:
            return


def _run_trials(work: Work, claimed: list[Trial]) -> bool:
    """Trains the lanes of the claimed trials, and writes down what became of them. Returns whether any
    failed."""
    plan, paths, configs, refused, owner = work.plan, {}, {}, {}, {}
    for trial in claimed:
        values = typed(plan.cfg, trial.user_attrs["config"])
        place = plan.root / label(values)
        try:
            own = {
                f"{label(values)}/seed-{seed}": plan.of(values, seed) for seed in trial.user_attrs["seeds"]
            }
            own = train.ready(plan.method, own, work.data)
            check_program(plan, work.book, work.programs(next(iter(own.values()))))
            new = {name: place / name.rpartition("/")[2] for name in own}
            _prepare(work, new, own)
        except InputError as e:
            if isinstance(e, Clash):
                raise
            refused[trial.number] = str(e)
            continue
        seeds = sorted({*lanes.read(place), *(path.name for path in new.values())}, key=lambda x: int(x[5:]))
        lanes.write(place, seeds, failed=dict.fromkeys(records.lane_names(place, "failed"), "as before"))
        paths, configs = paths | new, configs | own
        owner |= dict.fromkeys(own, trial)
    done, failed, dropped = {}, {}, {}

    def rungs(at: int) -> tuple[int, ...]:
        return book.rungs(plan.options.pruner, at, plan.loop.evaluate_every, work.steps)

    def review(step: int, every: list) -> list:
        """The lanes of the trials that are stopped here in favour of others."""
        stopped = []
        for trial in claimed:
            mine, own = (
                [lane for lane in every if owner[lane.name] is trial],
                rungs(trial.user_attrs["place"]),
            )
            going = [lane for lane in mine if lane.failed is None and not lane.ended]
            if step not in own or not going or any((lane.watched or (0, 0))[0] != step for lane in going):
                continue  # where some are behind, it is when they come
            values = [math.inf if lane.failed or not lane.watched else lane.watched[1] for lane in mine]
            value = float(np.mean([math.inf if x is None else x for x in values]))
            if not book.goes_on(work.book, trial, step, value, lambda at, own=own: rungs(at) == own):
                stopped += going
                dropped.update({lane.name: step for lane in going})
        return stopped

    if paths:
        texts = [
            Row(typed(plan.cfg, t.user_attrs["config"]), ()).label for t in claimed if t.number not in refused
        ]
        print(f"{_count(work)}: {'; '.join(texts)}", flush=True)
        done, failed = train.fit_lanes(
            paths,
            configs,
            plan.loop,
            work.data,
            work.programs,
            dict.fromkeys(paths, False),
            how=work.how,
            width=work.width or None,
            review=review,
            fail_fast=plan.options.fail_fast,
        )
    for place in {path.parent for path in paths.values()}:
        frozen = dict.fromkeys(records.lane_names(place, "failed"), "as before")
        frozen |= {paths[name].name: told for name, told in failed.items() if paths[name].parent == place}
        lanes.write(place, lanes.read(place), failed=frozen)
    for trial in claimed:
        if (reason := refused.get(trial.number)) is not None:
            print(f"failed: {Row(trial.user_attrs['config'], ()).label}: {reason}", file=sys.stderr)
        _tell(work, trial, [name for name in owner if owner[name] is trial], done, failed, dropped, reason)
    return bool(failed or refused)


def _prepare(work: Work, paths: dict[str, Path], configs: dict) -> None:
    """Makes the folders of runs that are not begun, and checks the others."""
    plan = work.plan
    new = {}
    for name, path in paths.items():
        if not (path / "config.json").exists():
            new[name] = path
            continue
        record = run.checked(records.read(path), work.data) and records.read(path)
        apart = first_difference(records.plain(dataclasses.asdict(configs[name])), record["config"])
        if apart is None and record["program"] != work.programs(configs[name]).digest:
            apart = EDITED
        if apart is not None:
            raise Clash(f"{path} holds another run ({apart}); choose another --name")
    if new:
        train.create(
            plan.method, plan.experiment, new, configs, plan.loop, work.data, work.programs, plan.text
        )


def _count(work: Work) -> str:
    """Which configurations of how many are under way."""
    done, total = book.progress(work.book.study)
    total = max(total, work.plan.options.trials)
    return f"{done} of {total} done"


def _tell(work: Work, trial: Trial, names: list[str], done, failed, dropped, reason: str | None) -> None:
    lanes_, protocols = {}, {}
    for seed in trial.user_attrs["seeds"]:
        name = next((n for n in names if n.endswith(f"/seed-{seed}")), None)
        own = {"figures": {}, "failed": reason, "dropped": None, "folder": name or ""}
        if name in failed:
            own["failed"] = _shortly(failed[name])
        elif name in dropped:
            own["dropped"] = dropped[name]
        elif name in done:
            result, _ = done[name]
            mine = [record for record in result["scores"] if record["step"] == result["step"]]
            own["figures"] = {record["name"]: record["value"] for record in mine}
            own["pace"] = result.get("seconds_per_step")
            own["troubles"] = [wrong.name for wrong in troubles.from_records(result["troubles"])]
            protocols |= {record["name"]: record for record in mine}
        elif reason is None:
            return  # it was stopped by the failure of another one, and goes back into the queue
        lanes_[str(seed)] = own
    value = None
    if not all(own["dropped"] for own in lanes_.values()):
        value = _objective(work.plan, list(lanes_.values()), protocols)
    book.tell(work.book.study, trial, {"lanes": lanes_, "protocols": protocols}, value)


def _shortly(reason: str) -> str:
    return reason.partition(" and the run stopped there")[0]


def _objective(plan: Plan, own: list[dict], protocols: dict) -> float:
    """What a sampler makes less of: the mean badness, the geometric one where that is the summary; infinite
    if a lane failed."""
    if not protocols or any(lane["failed"] for lane in own):
        return math.inf
    metric = chosen(plan.options.metric, list(protocols))
    protocol = from_record(protocols[metric]).protocol
    values = [lane["figures"][metric] for lane in own if metric in lane["figures"]]
    if len(values) < len(own) or not np.isfinite(values).all():
        return math.inf
    of = statistics.summary(
        values,
        better=protocol.better,
        within=protocol.within,
        log=statistics.logarithmic(values, protocol.within),
    )
    return float(statistics.badness([of.mean], protocol.better)[0])
