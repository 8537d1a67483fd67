"""The book of a sweep: what is done, claimed and waiting, as an Optuna study that several processes share.

A trial is a configuration with some seeds. Who has claimed one says so by a heartbeat; where it falls silent
the trial fails and another one is put in its place, and whoever asks next goes on with its runs.
"""

import contextlib
import io
import json
import logging
import math
import os
import pickle
import platform
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import optuna
import sqlalchemy
import sqlalchemy.exc
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, Trial, TrialState

from jaxgan.config import InputError, first_difference
from jaxgan.sweeps.space import whole

BEAT, SILENT = 5, 60  # seconds: between beats, and until one who is not heard of is taken for gone
TRIES = 4  # at making a storage's tables
LEARNING = ("tpe", "cmaes")  # samplers that look at what was found
BEST = 3  # one in so many goes on from a rung
_ME = f"{os.getpid()}:{uuid.uuid4().hex[:8]}"
_HERE = platform.node()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what Optuna calls experimental
    _again = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)


class Book(NamedTuple):
    """A study, and where it is stored."""

    study: optuna.Study
    storage: RDBStorage


@contextlib.contextmanager
def answering(url: str) -> Iterator[None]:
    """A storage that does not answer is a line."""
    try:
        yield
    except ImportError as e:
        raise InputError(
            f"--storage {shown(url)} takes a driver that is not installed; for postgresql:// it is "
            "pip install 'jaxgan[postgresql]'"
        ) from e
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as e:
        cause = e.__cause__ if isinstance(e, optuna.exceptions.StorageInternalError) and e.__cause__ else e
        reason = str(getattr(cause, "orig", None) or cause).strip().partition("\n")[0]
        raise InputError(f"--storage {shown(url)} does not answer ({reason})") from e


def shown(url: str) -> str:
    """A storage's address without its password."""
    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return url


def opened(url: str, name: str, plan: dict[str, Any]) -> Book:
    """The study of that name, begun if there is none.

    Args:
      url: a database's, as SQLAlchemy has them: sqlite:///FILE, postgresql://USER@HOST/NAME.
      plan: what a sweep is, as JSON has it; that of the study must be the same.

    Raises:
      InputError: if it does not answer, or is of another sweep.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    if "://" not in url:
        raise InputError(
            f"--storage {url}: a database's address, such as sqlite:///FILE or postgresql://USER@HOST/NAME"
        )
    waits = {
        "sqlite": {"timeout": 60},
        "postgresql": {"connect_timeout": 10},
        "mysql": {"connect_timeout": 10},
    }
    options = {"connect_args": waits.get(url.partition(":")[0].partition("+")[0], {})}
    with answering(url), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = _storage(url, options)
        study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
        known = study.user_attrs.get("plan")
        if known is None and study.get_trials(deepcopy=False):
            raise InputError(
                f"--storage {shown(url)} has a study {name!r} that is no sweep's; choose another --name"
            )
        if known is None:
            study.set_user_attr("plan", plan)
        elif (apart := first_difference(plan, known)) is not None:
            raise InputError(f"{name} is the study of another sweep ({apart}); choose another --name")
    return Book(study, storage)


def _storage(url: str, options: dict) -> RDBStorage:
    """The storage; where several processes make its tables at once, all but one of them try again."""
    for attempt in range(TRIES):
        try:
            storage = RDBStorage(
                url,
                engine_kwargs=options,
                heartbeat_interval=BEAT,
                grace_period=SILENT,
                heartbeat_stale_trial_callback=_again,
            )
            if url.startswith("sqlite"):
                # It has no lock of a row, which Optuna claims a trial by: two would be given the same one.
                at_once = lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")  # noqa: E731
                sqlalchemy.event.listen(storage.engine, "begin", at_once)
            return storage
        except sqlalchemy.exc.DatabaseError as e:
            # SQLite has one kind of error for a table that is there by now and a file that cannot be opened.
            beaten = isinstance(e, sqlalchemy.exc.IntegrityError | sqlalchemy.exc.ProgrammingError)
            if attempt == TRIES - 1 or not (beaten or "already exists" in str(e)):
                raise
            time.sleep(1 + attempt)
    raise AssertionError


def trials(study: optuna.Study) -> list[FrozenTrial]:
    """All but those that were given up: what is done, claimed or waiting."""
    found = study.get_trials(deepcopy=False)
    return [trial for trial in found if trial.state != TrialState.FAIL]


def place(trial: FrozenTrial) -> int:
    """A trial's place in the queue, which it keeps where it is put back."""
    return trial.system_attrs.get("failed_trial", trial.number)


def identity(config: dict[str, Any]) -> str:
    """A configuration as text, the same for the same values."""
    return json.dumps(config, sort_keys=True)


def enqueue(study: optuna.Study, configs: list[dict[str, Any]], seeds: list[int]) -> None:
    """Puts what is missing into the queue: each configuration's seeds that no trial has."""
    known: dict[str, set[int]] = {}
    for trial in trials(study):
        if "config" in trial.user_attrs:
            known.setdefault(identity(trial.user_attrs["config"]), set()).update(trial.user_attrs["seeds"])
    for config in configs:
        if missing := [seed for seed in seeds if seed not in known.get(identity(config), ())]:
            study.enqueue_trial({}, user_attrs={"config": config, "seeds": missing})


# What the state of CMA-ES is made of, as it is kept with a trial.
_STATE = {
    ("cmaes._cma", "CMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("_codecs", "encode"),
    *(
        (f"numpy.{core}.multiarray", name)
        for core in ("_core", "core")
        for name in ("_reconstruct", "scalar")
    ),
    ("numpy._core.numeric", "_frombuffer"),
}


class _State(pickle.Unpickler):
    """Reads a state of CMA-ES: who can write to a book may not have another's process call what he likes."""

    def find_class(self, module: str, name: str):
        if (module, name) not in _STATE:
            raise InputError(f"a trial of the study holds {module}.{name}, which is no state of CMA-ES")
        return super().find_class(module, name)


class _CmaEs(optuna.samplers.CmaEsSampler):
    """Takes up a state without running anything of it."""

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]):
        for trial in reversed(completed_trials):
            of = f"{self._attr_key_optimizer}:"
            parts = {int(k.removeprefix(of)): v for k, v in trial.system_attrs.items() if k.startswith(of)}
            if parts:
                text = "".join(parts[i] for i in sorted(parts))
                return _State(io.BytesIO(bytes.fromhex(text))).load()
        return None


def sampler(name: str, index: int, space: dict) -> optuna.samplers.BaseSampler:
    """The sampler of a sweep for its trial of that index: so a sweep that was interrupted draws what it would
    have drawn."""
    seed = int(np.random.SeedSequence([0, index]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "cmaes":
            return _CmaEs(seed=seed, warn_independent_sampling=False)
        return optuna.samplers.TPESampler(seed=seed, multivariate=len(space) > 1)


def suggested(trial: Trial, space: dict[str, tuple | BaseDistribution]) -> dict[str, Any]:
    """A trial's configuration, as its sampler has it; numbers have four digits."""
    found = {}
    for name, values in space.items():
        if isinstance(values, FloatDistribution):
            value = trial.suggest_float(name, values.low, values.high, log=values.log)
            found[name] = min(max(float(f"{value:.4g}"), values.low), values.high)  # as a person writes it
        else:
            found[name] = values[trial.suggest_categorical(name, range(len(values)))]
    return whole(found)


def drawn(name: str, space: dict, n: int) -> list[dict[str, Any]]:
    """n configurations of a sampler that looks at no results: random or qmc. More begin with the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        of = {"random": optuna.samplers.RandomSampler, "qmc": optuna.samplers.QMCSampler}[name]
        options = {} if name == "random" else {"scramble": True, "warn_independent_sampling": False}
        scratch = optuna.create_study(sampler=of(seed=0, **options))
        distributions = {
            k: v if isinstance(v, BaseDistribution) else CategoricalDistribution(range(len(v)))
            for k, v in space.items()
        }
        found = []
        for _ in range(n):
            trial = scratch.ask(distributions)
            found.append(suggested(trial, space))
            scratch.tell(trial, 0.0)
    return found


def _release(book: Book) -> None:
    """Puts back into the queue what was claimed by those who are gone."""
    fail_stale_trials(book.study)
    for trial in book.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        host, _, who = trial.user_attrs.get("owner", "").rpartition("/")
        if host == _HERE and who and not _alive(who):
            give_back(book, trial)


def _alive(who: str) -> bool:
    """Whether a process of this machine is under way, by its number and its own mark."""
    number = int(who.partition(":")[0])
    if number == os.getpid():
        return who == _ME
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def give_back(book: Book, trial: FrozenTrial) -> None:
    """Puts a trial that was claimed back into the queue; of several who do, one does."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        if book.storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL):
            _again(book.study, trial)


def claim(book: Book, most: int, learn: tuple[str, dict, int, list[int]] | None = None) -> list[Trial]:
    """Trials that are this process's from now on, so many at most; [] if there is nothing to claim now.

    Args:
      learn: of a sampler that looks at what was found, its name, the space, how many trials it has in all,
        and the seeds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _release(book)
        study, found, again = book.study, [], False
        while len(found) < most:
            waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if waiting:
                first = min(waiting, key=place)
                trial, at = _taken(book, first), place(first)
                if trial is None:  # another one was quicker
                    continue
                again = True
            elif learn is None or again:  # what was put back is done with those that it was drawn with
                break
            else:
                name, space, total, seeds = learn
                asked = [t for t in study.get_trials(deepcopy=False) if "failed_trial" not in t.system_attrs]
                if len(asked) >= total:
                    break
                study.sampler = sampler(name, len(asked), space)
                trial = study.ask()
                at = trial.number
            trial.set_user_attr("owner", f"{_HERE}/{_ME}")
            trial.set_user_attr("place", at)
            book.storage.record_heartbeat(trial._trial_id)
            if "config" not in trial.user_attrs:
                trial.set_user_attr("config", suggested(trial, space))
                trial.set_user_attr("seeds", seeds)
            if _settled_by_twin(study, trial):
                continue
            found.append(trial)
    return found


def _taken(book: Book, trial: FrozenTrial) -> Trial | None:
    """A trial that was waiting, or None if another one has it."""
    with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
        if book.storage.set_trial_state_values(trial._trial_id, state=TrialState.RUNNING):
            return Trial(book.study, trial._trial_id)
    return None


def _settled_by_twin(study: optuna.Study, trial: Trial) -> bool:
    """Whether an earlier trial has the same configuration and seeds; then its result is this one's too."""
    mine = identity(trial.user_attrs["config"]), trial.user_attrs["seeds"]
    for other in trials(study):
        attrs = other.user_attrs
        if other.number < trial.number and "config" in attrs:
            if (identity(attrs["config"]), attrs["seeds"]) == mine:
                done = other.state == TrialState.COMPLETE
                study.tell(
                    trial, other.value if done else None, TrialState.COMPLETE if done else TrialState.FAIL
                )
                return True
    return False


@contextlib.contextmanager
def beating(book: Book, claimed: list[Trial]) -> Iterator[None]:
    """Says every few seconds that the claimed trials are under way."""
    over = threading.Event()

    def beat():
        while not over.wait(BEAT):
            for trial in claimed:
                with contextlib.suppress(
                    sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError
                ):
                    book.storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tell(study: optuna.Study, trial: Trial, found: dict[str, Any], value: float | None) -> None:
    """Writes down what became of a trial.

    Args:
      found: its `lanes` and their `protocols`, as JSON.
      value: less is better; None of one that was stopped in favour of others.
    """
    for name, own in found.items():
        trial.set_user_attr(name, own)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)


def recognised(study: optuna.Study, form: str, digest: str) -> bool:
    """Whether the program of a form, such as of one width, is what it was when the sweep first ran it."""
    name = f"program {form}"
    if name not in study.user_attrs:
        study.set_user_attr(name, digest)
    return study.user_attrs[name] == digest


def rungs(name: str, at: int, first: int, last: int) -> tuple[int, ...]:
    """The steps at which the trial of a place in the queue is compared with others.

    halving: first, 3 first, 9 first, ... (Jamieson and Talwalkar 2016; as they come, Li et al. 2020);
    hyperband: the same from one of them on, or none, drawn with the odds of the brackets of Li et al. 2018.
    """
    steps = [first]
    while steps[-1] < last:
        steps.append(steps[-1] * BEST)
    steps = steps[:-1]
    if name == "hyperband":
        odds = np.array([BEST**s / (s + 1) for s in range(len(steps), -1, -1)])
        begin = np.random.default_rng([0, at]).choice(len(odds), p=odds / odds.sum())
        return tuple(steps[begin:])
    return tuple(steps) if name == "halving" else ()


def goes_on(own: Book, trial: Trial, step: int, value: float, same: Callable[[int], bool]) -> bool:
    """Whether a claimed trial goes on from a rung: of it and those before it in the queue that came there, is
    it one of the best third, or the best? It is decided once, whatever is interrupted.

    Args:
      value: less is better.
      same: whether the trial of a place in the queue has the same rungs.
    """
    name, at = f"rung {step}", trial.user_attrs["place"]
    if (known := trial.user_attrs.get(name)) is None:
        before = [t for t in trials(own.study) if name in t.user_attrs and place(t) < at and same(place(t))]
        values = sorted([value, *(t.user_attrs[name]["value"] for t in before)])
        known = {"value": value, "goes on": value <= values[max(1, len(values) // BEST) - 1]}
        trial.set_user_attr(name, known)
        trial.report(float(np.nan_to_num(value, nan=math.inf, posinf=math.inf)), step)  # for who looks on
    return known["goes on"]


def progress(study: optuna.Study) -> tuple[int, int]:
    """How many configurations with their seeds are done, and how many there are."""
    every = [trial for trial in trials(study) if "config" in trial.user_attrs]
    done = [trial for trial in every if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    mark = lambda trial: (identity(trial.user_attrs["config"]), *trial.user_attrs["seeds"])  # noqa: E731
    return len(set(map(mark, done))), len(set(map(mark, every)))


def others_at_work(study: optuna.Study) -> int:
    """How many trials other processes have claimed."""
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return sum(trial.user_attrs.get("owner") != f"{_HERE}/{_ME}" for trial in running)
