"""The book alone: nothing is trained."""

import contextlib
import math
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from jaxgan.config import InputError
from jaxgan.sweeps import book, log_uniform

CONFIGS = [{"rate": float(rate)} for rate in range(6)]


def _opened(folder, plan=None, name="s"):
    return book.opened(f"sqlite:///{folder / 'study.db'}", name, plan or {"of": "this"})


def _told(own, trial, value=1.0):
    book.tell(own.study, trial, {"lanes": {}, "protocols": {}}, value)


def _configs(own, *states):
    every = own.study.get_trials(deepcopy=False, states=states or None)
    return sorted(trial.user_attrs["config"]["rate"] for trial in every)


def test_what_is_missing_is_put_into_the_queue(tmp_path):
    own = _opened(tmp_path)
    book.enqueue(own.study, CONFIGS[:2], [0, 1])
    book.enqueue(own.study, CONFIGS[:2], [0, 1])
    assert [t.user_attrs["seeds"] for t in own.study.trials] == [[0, 1], [0, 1]]
    book.enqueue(own.study, CONFIGS[:3], [0, 1, 2])
    assert [t.user_attrs["seeds"] for t in own.study.trials] == [[0, 1], [0, 1], [2], [2], [0, 1, 2]]
    assert book.progress(own.study) == (0, 5)


def test_several_books_share_the_work_and_do_none_twice(tmp_path):
    """Without SQLite's lock of the whole file, some are claimed twice."""
    books = [_opened(tmp_path) for _ in range(4)]
    configs = [{"rate": float(rate)} for rate in range(20)]
    book.enqueue(books[0].study, configs, [0])
    found = []

    def work(own):
        while claimed := book.claim(own, 1):
            found.append(claimed[0].user_attrs["config"]["rate"])
            _told(own, claimed[0])

    threads = [threading.Thread(target=work, args=(own,)) for own in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [config["rate"] for config in configs]
    assert book.progress(books[0].study) == (20, 20)


def test_what_was_put_there_twice_is_done_once(tmp_path):
    """As where two processes begin the same sweep at one moment."""
    own = _opened(tmp_path)
    book.enqueue(own.study, CONFIGS[:1], [0])
    own.study.enqueue_trial({}, user_attrs={"config": CONFIGS[0], "seeds": [0]})
    (first,) = book.claim(own, 1)
    assert book.claim(own, 1) == []
    _told(own, first, 3.0)
    assert [t.state for t in own.study.trials] == [TrialState.COMPLETE, TrialState.FAIL]
    own.study.enqueue_trial({}, user_attrs={"config": CONFIGS[0], "seeds": [0]})
    assert book.claim(own, 1) == []
    assert own.study.trials[2].value == 3.0
    assert book.progress(own.study) == (1, 1)


GONE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
from jaxgan.sweeps import book
own = book.opened(sys.argv[2], "s", {"of": "this"})
print([trial.user_attrs["config"] for trial in book.claim(own, 2)])
sys.stdout.flush()
import os
os._exit(9)
"""


def test_what_a_dead_process_had_claimed_is_left_to_the_others(tmp_path):
    own = _opened(tmp_path)
    book.enqueue(own.study, CONFIGS[:3], [0])
    root = os.path.dirname(os.path.dirname(book.__file__))
    command = [sys.executable, "-c", GONE, os.path.dirname(root), f"sqlite:///{tmp_path / 'study.db'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "0.0" in done.stdout, done.stderr
    assert _configs(own, TrialState.RUNNING) == [0, 1]
    claimed = book.claim(own, 5)
    assert sorted(trial.user_attrs["config"]["rate"] for trial in claimed) == [0, 1, 2]
    assert _configs(own, TrialState.FAIL) == [0, 1]
    assert book.progress(own.study) == (0, 3)


def test_a_silent_process_of_another_machine_is_given_up(tmp_path, monkeypatch):
    own = _opened(tmp_path)
    book.enqueue(own.study, CONFIGS[:1], [0])
    monkeypatch.setattr(book, "_HERE", "another machine")
    (trial,) = book.claim(own, 1)
    monkeypatch.undo()
    assert book.claim(own, 1) == []
    assert book.others_at_work(own.study) == 1
    own.storage.grace_period = 1
    time.sleep(2.1)
    (again,) = book.claim(own, 1)
    assert again.user_attrs["config"] == trial.user_attrs["config"]
    assert again.number != trial.number


def test_one_who_is_under_way_is_left_alone(tmp_path):
    """The negative control: this very process, whose heart beats."""
    own = _opened(tmp_path)
    book.enqueue(own.study, CONFIGS[:1], [0])
    (trial,) = book.claim(own, 1)
    with book.beating(own, [trial]):
        assert book.claim(_opened(tmp_path), 1) == []
    book.give_back(own, own.study.trials[trial.number])
    assert len(book.claim(own, 1)) == 1


def test_another_sweep_and_another_study_are_refused(tmp_path):
    _opened(tmp_path, {"gamma": 1.0})
    with pytest.raises(InputError, match=re.escape("s is the study of another sweep (gamma: 2.0, not 1.0)")):
        _opened(tmp_path, {"gamma": 2.0})
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.create_study(storage=url, study_name="theirs").add_trial(optuna.create_trial(value=1.0))
    with pytest.raises(InputError, match="has a study 'theirs' that is no sweep's; choose another --name"):
        _opened(tmp_path, name="theirs")
    (tmp_path / "text.db").write_text("this is no database, " * 100)
    with pytest.raises(InputError, match="text.db does not answer \\(file is not a database\\)"):
        book.opened(f"sqlite:///{tmp_path / 'text.db'}", "s", {})


def test_a_password_is_not_told():
    assert book.shown("postgresql://me:secret@host/x") == "postgresql://me:***@host/x"
    assert book.shown("no address") == "no address"


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_more_draws_begin_with_the_same(name):
    space = {"rate": log_uniform(1e-4, 1e-1), "loss": ("a", "b")}
    few, many = book.drawn(name, space, 3), book.drawn(name, space, 9)
    assert many[:3] == few
    assert len({config["rate"] for config in many}) == 9
    assert all(config["rate"] == float(f"{config['rate']:.4g}") for config in many)
    assert all(1e-4 <= config["rate"] <= 1e-1 and config["loss"] in "ab" for config in many)


def _learnt(folder, name, kills=()):
    """The configurations that a sampler comes to for a score that is best at 1e-2, by rounds of two; in some
    rounds the process dies before it tells."""
    own, space = _opened(folder), {"rate": log_uniform(1e-5, 1.0)}
    while claimed := book.claim(own, 2, (name, space, 24, [0])):
        rounds = len([t for t in own.study.trials if t.state == TrialState.COMPLETE]) // 2
        if rounds in kills and not any(t.state == TrialState.FAIL for t in own.study.trials):
            for trial in claimed:
                book.give_back(own, own.study.trials[trial.number])
            continue
        for trial in claimed:
            rate = trial.user_attrs["config"]["rate"]
            _told(own, trial, abs(math.log10(rate) + 2))
    done = own.study.get_trials(states=(TrialState.COMPLETE,))
    return [trial.user_attrs["config"]["rate"] for trial in done]


@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_a_sampler_that_learns_comes_near_the_best(name, tmp_path):
    found = _learnt(tmp_path, name)
    assert len(found) == 24
    assert min(abs(math.log10(rate) + 2) for rate in found) < 0.25


def test_one_that_was_interrupted_learns_the_same(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    assert _learnt(tmp_path / "a", "tpe") == _learnt(tmp_path / "b", "tpe", kills=(4,))


def _halved(folder, kills=()):
    """Which rates are stopped by halving where, of two groups of six whose rates come in no order; a kill at
    (group, step, after so many were asked there) puts the group back into the queue."""
    rates = [7.0, 3.0, 9.0, 1.0, 5.0, 8.0, 2.0, 6.0, 4.0, 0.0, 11.0, 10.0]
    own, kills = _opened(folder), set(kills)
    book.enqueue(own.study, [{"rate": rate} for rate in rates], [0])
    found, group = {}, 0
    while claimed := book.claim(own, 6):
        died = False
        for step in (10, 30):
            for i, trial in enumerate(
                t for t in claimed if found.get(t.user_attrs["config"]["rate"]) is None
            ):
                if (group, step, i) in kills:
                    kills.remove((group, step, i))
                    died = True
                    break
                rate = trial.user_attrs["config"]["rate"]
                if not book.goes_on(own, trial, step, rate, lambda at: True):
                    found[rate] = step
            if died:
                break
        for trial in claimed:
            if died:
                found.pop(trial.user_attrs["config"]["rate"], None)
                book.give_back(own, own.study.trials[trial.number])
            else:
                rate = trial.user_attrs["config"]["rate"]
                _told(own, trial, None if rate in found else rate)
        group += not died
    return found


def test_halving_drops_all_but_the_best(tmp_path):
    stopped = _halved(tmp_path)
    assert 0.0 not in stopped
    assert sum(step == 10 for step in stopped.values()) >= 6
    # The first is the best of those before it, and 3 and 1 the best third of two and of four.
    assert not {7.0, 3.0, 1.0} & {rate for rate, step in stopped.items() if step == 10}
    assert {9.0, 5.0, 8.0} <= {rate for rate, step in stopped.items() if step == 10}


@pytest.mark.parametrize("kill", [(0, 10, 2), (0, 30, 1), (1, 10, 0), (1, 10, 5), (1, 30, 1)])
def test_what_is_interrupted_stops_the_same(tmp_path, kill):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    assert _halved(tmp_path / "a") == _halved(tmp_path / "b", [kill])


def test_rungs():
    assert book.rungs("none", 0, 10, 90) == ()
    assert book.rungs("halving", 7, 10, 90) == (10, 30)
    assert book.rungs("halving", 7, 10, 91) == (10, 30, 90)
    found = [book.rungs("hyperband", at, 10, 90) for at in range(2000)]
    # Brackets of Hyperband with R = 9: 9, 5 (4.5 before it is rounded) and 3 configurations.
    for own, odds in {(10, 30): 9 / 3, (30,): 3 / 2, (): 1}.items():
        assert found.count(own) / 2000 == pytest.approx(odds / 5.5, abs=0.04)


@pytest.mark.parametrize(
    ("error", "said", "tries"),
    [
        ("IntegrityError", "duplicate key", 3),
        ("ProgrammingError", "relation exists", 3),
        ("OperationalError", "table alembic_version already exists", 3),
        ("OperationalError", "unable to open database file", 1),
    ],
)
def test_a_storage_that_two_make_at_once_is_tried_again(monkeypatch, error, said, tries):
    """And one that cannot be had is not waited for."""
    import sqlalchemy

    calls = []

    def made(url, **options):
        calls.append(url)
        if len(calls) < 3:
            raise getattr(sqlalchemy.exc, error)("x", {}, Exception(said))
        return SimpleNamespace()

    monkeypatch.setattr(book, "RDBStorage", made)
    monkeypatch.setattr(book.time, "sleep", lambda seconds: None)
    of_one_try = pytest.raises(sqlalchemy.exc.OperationalError, match=said)
    with of_one_try if tries == 1 else contextlib.nullcontext():
        book._storage("postgresql://x", {})
    assert len(calls) == tries
