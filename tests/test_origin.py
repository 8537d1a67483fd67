"""A run's method is found again, wherever it was moved to, and what came with a folder is not executed."""

import shutil
import subprocess
import sys

import pytest

from jaxgan import origin
from jaxgan.config import InputError

METHOD = '''
"""Mine."""
from pathlib import Path
Path(__file__).with_name("marker").write_text("executed")


class Config:
    pass


def make(cfg, axis=None):
    return {number}
'''


def _write(file, number=1):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(METHOD.format(number=number))
    return file


def _of(file):
    """As a run of `python FILE` records it."""
    return {"module": "__main__", "file": str(file), "digest": origin.digest(file.read_bytes()), "kind": None}


def _run_by_the_user(file):
    origin.remember(file.read_bytes(), file)
    origin._allowed.clear()  # as a later process has it
    return _of(file)


def _run(place, file):
    """A run's folder that keeps the source."""
    run = place / "runs" / "mine" / "a"
    run.mkdir(parents=True)
    shutil.copy(file, run / origin.KEPT)
    return run


class TestTrust:
    def test_what_came_with_a_folder_is_not_executed(self, place):
        file = _write(place / "shared" / "evil.py")
        run = _run(place / "shared", file)
        for experiment in (_of(file), _of(file) | {"file": "/nowhere/evil.py"}):
            with pytest.raises(InputError, match="code that was not run here before: .* --trust") as e:
                origin.module(experiment, run)
            assert "\n" not in str(e.value)
            assert str(place / "shared") in str(e.value)
        assert not (place / "shared" / "marker").exists()

    def test_nor_by_a_record_that_names_another(self, place):
        """A digest of the user's own does not let another text through."""
        mine, evil = _write(place / "mine.py"), _write(place / "shared" / "evil.py", 2)
        own = _run_by_the_user(mine)
        mine.unlink()
        with pytest.raises(InputError, match="not run here before"):
            origin.module(own | {"file": str(evil)})
        assert not (place / "shared" / "marker").exists()

    def test_the_users_word_lets_it(self, place, capsys):
        file = _write(place / "shared" / "method.py")
        run = _run(place / "shared", file)
        origin.trust(_of(file), run)
        assert f"{file} is trusted from now on, as it is" in capsys.readouterr().err
        origin._allowed.clear()
        assert origin.module(_of(file), run).make(None) == 1
        assert (place / "shared" / "marker").exists()
        file.write_text(file.read_text().replace("return 1", "return 2"))
        with pytest.raises(InputError, match="not run here before"):
            origin.module(_of(file), run)

    def test_also_where_another_is_installed_by_that_name(self, place):
        file = _write(place / "shared" / "experiments" / "gan.py", 3)
        experiment = _of(file) | {"module": "experiments.gan"}
        run = _run(place / "shared", file)
        with pytest.raises(InputError, match="not run here before"):
            origin.module(experiment, run)
        origin.trust(experiment, run)
        assert origin.module(experiment, run).make(None) == 3

    def test_the_users_own_file_is_his(self, place, capsys):
        own = _run_by_the_user(_write(place / "mine.py"))
        assert origin.module(own).make(None) == 1
        assert capsys.readouterr().err == ""

    def test_also_after_an_edit_which_is_told_once(self, place, capsys):
        own = _run_by_the_user(_write(place / "mine.py"))
        _write(place / "mine.py", 2)
        assert origin.module(own).make(None) == 2
        origin.module(own)
        assert capsys.readouterr().err == f"{place / 'mine.py'} has changed since the run began\n"

    def test_a_cache_that_cannot_be_written(self, place, monkeypatch):
        (place / "file").write_text("")
        monkeypatch.setenv("JAXGAN_CACHE", str(place / "file" / "cache"))
        file = _write(place / "mine.py")
        origin.remember(file.read_bytes(), file)
        assert origin.module(_of(file)).make(None) == 1


class TestPlaces:
    def test_it_was_moved_to_the_current_folder(self, place):
        file = _write(place / "old" / "mine.py")
        own = _run_by_the_user(file)
        shutil.move(file, place / "mine.py")
        found = origin.module(own, place / "runs" / "mine" / "a")
        assert origin.file_of(found) == place / "mine.py"

    def test_with_the_runs_beside_it(self, place, monkeypatch):
        file = _write(place / "old" / "mine.py")
        own = _run_by_the_user(file)
        run = _run(place / "old", file)
        (place / "old").rename(place / "new")
        run = place / "new" / "runs" / "mine" / "a"
        assert origin.file_of(origin.module(own, run)) == place / "new" / "mine.py"

    def test_it_is_gone_and_the_run_has_a_copy(self, place, capsys):
        file = _write(place / "mine.py")
        own, run = _run_by_the_user(file), _run(place, file)
        file.unlink()
        assert origin.file_of(origin.module(own, run)) == run / origin.KEPT
        assert capsys.readouterr().err == f"{file} is not there: the copy in {run / origin.KEPT} is used\n"

    def test_a_copy_that_is_damaged_is_none(self, place):
        file = _write(place / "mine.py")
        own, run = _run_by_the_user(file), _run(place, file)
        file.unlink()
        (run / origin.KEPT).write_text("print('other')")
        with pytest.raises(InputError, match="neither installed nor at .*mine.py; go to the folder"):
            origin.module(own, run)

    def test_another_of_that_name_is_not_taken(self, place):
        file = _write(place / "old" / "mine.py")
        own, run = _run_by_the_user(file), _run(place, file)
        file.unlink()
        _write(place / "mine.py", 2)
        assert origin.module(own, run).make(None) == 1

    def test_what_was_typed_into_a_session(self, place):
        typed = {"module": "__main__", "file": None, "digest": None, "kind": None}
        with pytest.raises(InputError, match="typed into a session: .* jaxgan.train.resume.'a'"):
            origin.module(typed, "a")

    def test_what_it_imports_lies_beside_it(self, place):
        (place / "its_nets.py").write_text("SIZE = 3")
        file = _write(place / "mine.py")
        file.write_text("from its_nets import SIZE\n" + file.read_text().replace("return 1", "return SIZE"))
        assert origin.module(_run_by_the_user(file)).make(None) == 3
        sys.modules.pop("its_nets")

    def test_what_it_imports_is_missing(self, place):
        file = _write(place / "mine.py")
        file.write_text("import not_there_at_all\n" + file.read_text())
        with pytest.raises(InputError, match="cannot be imported .ModuleNotFoundError: .*go to the folder"):
            origin.module(_run_by_the_user(file))


SHADOW = """
from pathlib import Path

from jaxgan import origin

installed = origin._installed("experiments.dcgan")
assert installed == origin.PROJECT / "experiments" / "dcgan.py", installed
assert origin._installed("experiments.mine") is None
assert origin._installed("mine") is None
assert origin._installed("json.decoder") is not None
own = Path("experiments/dcgan.py").absolute()
experiment = {"module": "experiments.dcgan", "file": str(own), "digest": origin.digest(own.read_bytes())}
origin.remember(own.read_bytes(), own)
assert origin.module(experiment).make(None) == 1
print("right")
"""


def test_the_projects_experiments_and_the_users_do_not_shadow_each_other(place):
    """Both are called experiments.dcgan; neither is taken for the other."""
    _write(place / "experiments" / "dcgan.py")
    (place / "experiments" / "__init__.py").write_text("")
    _write(place / "mine.py")
    done = subprocess.run([sys.executable, "-c", SHADOW], capture_output=True, text=True, cwd=place)
    assert done.stdout == "right\n", done.stderr
