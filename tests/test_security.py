"""What came from a stranger is read; nothing of it is run, written elsewhere, or shown as a page's own.

Each attack is one that works on code without the guard, which is shown beside it where it is short.
"""

import dataclasses
import io
import json
import marshal
import os
import pickle
import sys
import zipfile
import zlib
from html.parser import HTMLParser
from importlib import import_module, util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from PIL import Image, ImageFile, PngImagePlugin

import jaxgan
from experiments import cgan, mixtures
from jaxgan import (
    cli,
    compare,
    evaluate,
    lanes,
    origin,
    plots,
    records,
    report,
    run,
    sweeps,
    torch_weights,
    train,
    translate,
)
from jaxgan.config import InputError, is_name
from jaxgan.data import domains as two_domains
from jaxgan.data import files, load, sources
from jaxgan.data import pairs as paired
from jaxgan.kinds import Panel, Shares
from jaxgan.metrics import judge, reference
from jaxgan.metrics.features import RAW
from jaxgan.metrics.score import Protocol, Score, to_record
from jaxgan.results import Outcome, Results, Row
from jaxgan.sweeps import book, page, plan
from jaxgan.troubles import Trouble

PROTOCOL = Protocol(
    "fcd", "lower", (0, None), 1, "raw", "digits", "0", "8x8x1", 9, 9, "live", "none", "uint8", None, 0, "0"
)
SETTINGS = {"g_lr": 2e-4, "image_size": 8, "channels": 1, "n_classes": 10, "latent": 4, "batch_size": 16}


def _record(**changes):
    """Of a run that was never trained."""
    fields = {f.name for f in dataclasses.fields(cgan.Config)}
    config = dataclasses.asdict(cgan.Config(**{k: v for k, v in SETTINGS.items() if k in fields}))
    return records.plain(
        {
            "experiment": origin.of(cgan) | {"kind": None},
            "program": "0",
            "config": config,
            "loop": dataclasses.asdict(train.Loop()),
            "data": {
                "name": "digits",
                "digest": "0",
                "shapes": {},
                "facts": {"classes": list("0123456789")},
                "example": {"image": [[16, 8, 8, 1], "float32"], "label": [[16], "int32"]},
            },
            "folder": "/",
            "asked": None,
            "versions": {},
            "devices": [],
        }
        | changes
    )


def _run(path, **changes):
    """A run's folder that came from a stranger."""
    path.mkdir(parents=True, exist_ok=True)
    records.write(path / "config.json", _record(**changes))
    return path


def _tree(folder):
    """All that is below a folder."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def marker(tmp_path):
    """What an attack leaves where it was run."""
    return tmp_path / "marker"


class _Attack:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def _npz(marker, **arrays):
    """An archive with an array of objects."""
    file, attack = io.BytesIO(), np.empty(1, object)
    attack[0] = _Attack(marker)
    np.savez(file, **(arrays or {"image": attack, "input": attack, "label": attack}))
    return file.getvalue()


class TestPickles:
    def test_the_attack_works_on_who_loads_pickles(self, marker):
        for read in (
            lambda: pickle.loads(pickle.dumps(_Attack(marker))),
            lambda: np.load(io.BytesIO(_npz(marker)), allow_pickle=True)["image"],
        ):
            read()
            assert marker.is_dir()
            marker.rmdir()

    @pytest.mark.parametrize("bare", [False, True])
    def test_data(self, tmp_path, marker, bare, capsys):
        (tmp_path / "a.npz").write_bytes(pickle.dumps(_Attack(marker)) if bare else _npz(marker))
        spec, own = f"npz:{tmp_path / 'a.npz'}", _run(tmp_path / "run")
        for read in (
            lambda: load(spec, image_size=8),
            lambda: paired.load(spec, held_out=4),
            lambda: two_domains.load(spec, held_out=4),
            lambda: translate.read(tmp_path / "a.npz", own),
        ):
            with pytest.raises(InputError):
                read()
        with pytest.raises(SystemExit) as status:
            cli.main(["evaluate", "digits", "--images", spec])
        assert status.value.code == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert not marker.exists()

    def test_a_label_of_objects_is_none(self, tmp_path, marker):
        attack = np.load(io.BytesIO(_npz(marker)), allow_pickle=False)
        assert "label" in attack.files
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("label.npy", attack.zip.read("label.npy"))
            with archive.open("image.npy", "w") as file:
                np.save(file, np.zeros((9, 8, 8), np.uint8))
        assert load(f"npz:{tmp_path / 'a.npz'}", image_size=8).get("label") is None
        assert not marker.exists()

    def test_what_a_run_asks_for(self, tmp_path, marker):
        content = _npz(marker)
        own = _run(tmp_path / "run", asked=zlib.crc32(content))
        (own / "asked.npz").write_bytes(content)
        with pytest.raises(InputError, match="asked.npz is damaged .Object arrays cannot be loaded"):
            jaxgan.load(own, 0)
        assert not marker.exists()

    @pytest.mark.filterwarnings("ignore:.*biased upwards")
    def test_a_reference_that_is_kept(self, tmp_path, marker, monkeypatch, images):
        monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
        data = sources.image_set("grey", images)
        reference._statistics(data, RAW, 9)
        (kept,) = (tmp_path / "cache" / "references").iterdir()
        names = list(np.load(kept).keys())
        attack = np.empty(1, object)
        attack[0] = _Attack(marker)
        for content in (_npz(marker, **dict.fromkeys(names, attack)), pickle.dumps(_Attack(marker))):
            kept.write_bytes(content)
            assert np.isfinite(reference._statistics(data, RAW, 9)["mean"]).all()
        assert not marker.exists()

    def test_a_classifier(self, tmp_path, marker, images):
        data = sources.image_set("grey", images, np.arange(40) % 2, ("a", "b"))
        (tmp_path / "f").write_bytes(pickle.dumps(_Attack(marker)))
        with pytest.raises(InputError, match="holds no classifier"):
            judge.shared(data, tmp_path / "f")
        assert not marker.exists()

    def test_weights_of_torch(self, marker):
        attack = pickle.dumps({"weight": _Attack(marker)}, 2)
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w") as archive:
            archive.writestr("a/data.pkl", attack)
        number = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
        for content in (zipped.getvalue(), number + 2 * attack, number + attack):
            with pytest.raises(InputError, match="holds posix.mkdir"):
                torch_weights.read(content, "x.pth")
        assert not marker.exists()

    def test_a_checkpoint(self, tmp_path, marker):
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta" / "metadata").write_bytes(pickle.dumps(_Attack(marker)))
        with pytest.raises(ValueError, match="codec|JSON|Expecting|utf"):
            records.meta(tmp_path)
        assert not marker.exists()

    def test_a_state_of_a_sampler(self, tmp_path, marker):
        """Optuna keeps the state of CMA-ES as a pickle, in a book that others can write to."""
        attrs = {"cma:optimizer:0": pickle.dumps(_Attack(marker)).hex()}
        trial = optuna.trial.create_trial(value=0.0, system_attrs=attrs)
        with pytest.raises(InputError, match="holds posix.mkdir, which is no state of CMA-ES"):
            book.sampler("cmaes", 0, {})._restore_optimizer([trial])
        assert not marker.exists()
        optuna.samplers.CmaEsSampler()._restore_optimizer([trial])
        assert marker.exists()


class TestPlaces:
    @pytest.mark.parametrize("name", ["../victim", "..", "/tmp", "a/b", "", ".", "a\0b", 7, None])
    def test_lanes_are_folders_within(self, tmp_path, name, capsys):
        root = tmp_path / "runs"
        root.mkdir()
        lanes.write(root, ["seed-0", name])
        before = _tree(_run(tmp_path / "victim"))
        with pytest.raises(InputError, match="is no folder in it"):
            lanes.read(root)
        for command in ("resume", "compare"):
            with pytest.raises(SystemExit) as status:
                cli.main([command, str(root)])
            assert status.value.code == 2
            assert len(capsys.readouterr().err.splitlines()) == 1
        assert _tree(tmp_path / "victim") == before

    @pytest.mark.parametrize("name", ["..", ".", "a/b", "/tmp/x", "a\0b"])
    def test_a_run_has_a_folder_of_its_own(self, tmp_path, name):
        loop = train.Loop(name=name, out=str(tmp_path / "out"))
        with pytest.raises(InputError, match="must be the name of one folder"):
            train.start(mixtures.Config(), loop)
        with pytest.raises(InputError, match="must be the name of one folder"):
            sweeps.sweep(mixtures, mixtures.Config(), {"g_lr": (1e-3,)}, loop=loop)
        assert not list(tmp_path.iterdir())

    def test_members_of_an_archive_are_written_nowhere(self, tmp_path):
        (tmp_path / "a" / "b").mkdir(parents=True)
        names = ["../../x", "/tmp/jaxgan-x", "..\\x", "a/../../../x"]
        arrays = {name: np.zeros(1) for name in names} | {"image": np.zeros((9, 8, 8), np.uint8)}
        arrays |= {"label": np.arange(9, dtype=np.int32) % 2, "classes": np.array(["../../x", "/tmp/y"])}
        file = tmp_path / "a" / "b" / "c.npz"
        np.savez(file, **arrays)
        before = _tree(tmp_path)
        data = load(f"npz:{file}", image_size=8)
        assert data.classes == ("../../x", "/tmp/y")
        assert set(names) <= set(data.remarks[0].removeprefix("arrays that are not used: ").split(", "))
        assert _tree(tmp_path) == before

    def test_a_configuration_names_a_folder(self):
        for value in ("../../x", "/etc", "a\0b", "..", "a/b"):
            assert is_name(plan.label({"field": value, "../other": value}))

    def test_a_lock_that_is_a_link(self, tmp_path):
        own, victim = _run(tmp_path / "run"), tmp_path / "victim"
        victim.write_text("precious")
        (own / "lock").symlink_to(victim)
        (own / "scores.lock").symlink_to(victim)
        with run.locked(own):
            pass
        evaluate.remember(own, [])
        assert victim.read_text() == "precious"

    def test_a_run_says_that_its_checkpoints_are_anothers(self, tmp_path):
        """To go on there would delete the other's checkpoints and write over its files."""
        mine, theirs = _run(tmp_path / "mine"), _run(tmp_path / "theirs", folder="/home/stranger")
        (mine / "checkpoints" / "100").mkdir(parents=True)
        program = SimpleNamespace(numbers=lambda cfg: {}, devices=[])
        before = _tree(mine)
        for place in (mine, tmp_path, tmp_path / "new"):
            (theirs / records.ELSEWHERE).write_text(f"{place}\n")
            opened = lanes.opened("", theirs, None, program, None, train.Loop(keep=1), None)
            with pytest.raises(InputError, match="checkpoints.url names .*, which does not hold this run"):
                opened.__enter__()
        assert _tree(mine) == before
        assert {p.name for p in tmp_path.iterdir()} == {"mine", "theirs"}
        records.copy(["config.json"], theirs, tmp_path / "new")
        records.check_home(theirs)


def _png(path, size):
    Image.fromarray(np.zeros(size, np.uint8)).save(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
class TestPictures:
    @pytest.mark.parametrize("ending", ["png", "gif", "bmp", "tiff"])
    def test_a_bomb_is_not_decoded(self, tmp_path, monkeypatch, ending):
        """By no door."""
        both, own = tmp_path / "pairs", _run(tmp_path / "run")
        for folder in ("A", "B"):
            (both / folder).mkdir(parents=True)
            for i in range(9):
                _png(both / folder / f"{i}.png", (8, 8))
            _png(both / folder / f"9.{ending}", (20_000, 20))
        decoded, whole = [], ImageFile.ImageFile.load
        monkeypatch.setattr(
            "PIL.ImageFile.ImageFile.load", lambda self: decoded.append(self.size) or whole(self)
        )
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300_000)
        said = "its header says 20x20000"
        for read in (
            lambda: load(f"folder:{both / 'A'}", image_size=8),
            lambda: paired.load(f"folder:{both}", held_out=4),
            lambda: two_domains.load(f"folder:{both}", held_out=4),
            lambda: translate.read(both / "A", own),
            lambda: translate.read(both / "A" / f"9.{ending}", own),
        ):
            with pytest.raises(InputError, match=said):
                read()
        assert files.picture(both / "A" / f"9.{ending}") is None
        assert (20, 20_000) not in decoded
        assert (8, 8) in decoded

    def test_a_text_that_unpacks_to_much(self, tmp_path):
        info = PngImagePlugin.PngInfo()
        info.add_text("x", "a" * (4 * PngImagePlugin.MAX_TEXT_CHUNK), zip=True)
        for name in ("a", "b"):
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / f"{name}.png", pnginfo=info)
        with pytest.raises(InputError, match="2 of 2 images in .*Decompressed data too large"):
            load(f"folder:{tmp_path}", image_size=8)
        assert files.picture(tmp_path / "a.png") is None

    def test_no_other_program_is_run(self, tmp_path, monkeypatch):
        """PostScript that is called .png: Pillow goes by the content, and starts Ghostscript."""
        called = []
        monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **more: called.append(args))
        (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
        own = _run(tmp_path / "run")
        for read in (
            lambda: load(f"folder:{tmp_path}", image_size=8),
            lambda: translate.read(tmp_path / "a.png", own),
        ):
            with pytest.raises(InputError, match="it is EPS, which is not read"):
                read()
        assert files.picture(tmp_path / "a.png") is None
        assert not called
        with pytest.raises((AttributeError, AssertionError)), Image.open(tmp_path / "a.png") as image:
            image.load()
        assert called

    def test_a_picture_is_read_again(self, tmp_path):
        _png(tmp_path / "a.png", (8, 8))
        assert np.asarray(files.picture(tmp_path / "a.png")).shape == (8, 8)


ATTACKS = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "{{ 7 }}</title></style></pre>",
)


class _Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *own) for own in attrs]

    def handle_data(self, data):
        self.text.append(data)


def _check_page(text, wanted):
    found = _Page(text)
    said = " ".join(found.text)
    missing = [own for own in wanted if own not in said]
    assert not missing
    assert "script" not in found.tags
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]
    pictures = [value for _, name, value in found.attributes if name in ("src", "srcset", "href")]
    assert all(value.startswith("data:") for value in pictures)
    assert found.tags.count("title") == found.tags.count("style") == 1


def test_the_checks_of_a_page_find_what_is_not_escaped():
    whole = "<title></title><style></style>"
    _check_page(whole, [])
    for attack in ATTACKS[:2]:
        with pytest.raises(AssertionError):
            _check_page(whole + attack, [])


@dataclasses.dataclass(frozen=True)
class _Shown:
    steps: int
    text: str
    texts: tuple[str, ...]


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_page_of_a_run_shows_texts_as_texts(tmp_path, monkeypatch, attack):
    monkeypatch.setattr(report, "_commands", lambda seen: f"commands{attack}")
    each = lambda *names: {name + attack: name + attack for name in names}  # noqa: E731
    protocol = dataclasses.replace(PROTOCOL, metric=f"metric{attack}", features=f"features{attack}")
    scores = [to_record(Score(1.0, None, protocol), step) for step in (4, 2)]
    tiles = np.zeros((2, 8, 8, 1), np.uint8)
    shares = Shares((f"share{attack}", "b"), np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    panels = [
        Panel(f"heading{attack}", shares, f"told{attack}"),
        Panel("tiles", plots.Tiles(tiles, 2, names=(f"column{attack}", "b"))),
    ]
    record = {
        "experiment": {"module": f"module{attack}", "file": f"file{attack}", "kind": None},
        "data": {"name": f"data{attack}", "digest": f"digest{attack}", "shapes": each("array")},
        "loop": each("loop"),
        "versions": each("package"),
        "devices": [f"device{attack}"],
        "commit": f"commit{attack}",
    }
    seen = report.Report(
        tmp_path / f"run{attack.replace('/', '')}",
        record,
        _Shown(4, f"config{attack}", (f"tuple{attack}",)),
        4,
        0,
        panels,
        [],
        {"scores": scores, "best": {"name": f"best{attack}", "value": 1.0, "step": 2}},
        [Trouble(f"trouble{attack}", f"remedy{attack}")],
    )
    wanted = "commands metric features share heading told column data digest array loop package device commit"
    wanted = [name + attack for name in f"{wanted} config best trouble remedy".split()]
    _check_page(report.page(seen), [*wanted, f"run{attack.replace('/', '')}"])


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_page_of_a_sweep_shows_texts_as_texts(attack):
    metric = f"metric{attack}"
    protocol = dataclasses.replace(PROTOCOL, metric=metric, reference=f"data{attack}")
    outcomes = (
        Outcome(0, {metric: 1.0}, folder=f"folder{attack}", troubles=(f"trouble{attack}",)),
        Outcome(1, {}, failed=f"failed{attack}"),
    )
    rows = tuple(Row({f"field{attack}": f"{value}{attack}"}, outcomes) for value in ("one", "two"))
    found = Results(f"title{attack}", metric, {metric: protocol}, rows, rows[0].config, 2)
    every = {"scores": np.zeros((4, 4, 3), np.uint8)}
    wanted = [f"{name}{attack}" for name in "metric folder trouble failed field one two title".split()]
    _check_page(page.page(found, every), wanted)


NOISY = "import os\nos.makedirs({marker!r}, exist_ok=True)\n"
METHOD = NOISY + "class Config: pass\ndef make(cfg, axis=None): return 1\n"


def _experiment(module, file="/nowhere/x.py", text=b""):
    return {"module": module, "file": str(file), "digest": origin.digest(text), "kind": None}


class TestCode:
    @pytest.fixture
    def installed(self, tmp_path, marker, place):
        """A folder of installed modules, that do something when they are imported, as `antigravity` does."""
        folder = tmp_path / "site"
        (folder / "noisy_package" / "within").mkdir(parents=True)
        for file in ("noisy.py", "noisy_package/__init__.py", "noisy_package/within/__init__.py"):
            (folder / file).write_text(NOISY.format(marker=str(marker)))
        sys.path.append(str(folder))
        return folder

    @pytest.mark.parametrize(
        "name", ["noisy", "noisy_package", "noisy_package.x", "noisy_package.within.x", "noisy.x"]
    )
    def test_what_is_installed_and_no_method_is_not_imported(self, installed, marker, name):
        own = _run(installed.parent / "run", experiment=_experiment(name))
        with pytest.raises(InputError) as e:
            jaxgan.load(own)
        assert "\n" not in str(e.value)
        assert not marker.exists()
        with pytest.raises(InputError):
            jaxgan.load(own, trust=True)
        assert not marker.exists()
        with pytest.raises(ImportError) if name.endswith(".x") else pytest.MonkeyPatch.context():
            import_module(name)
        assert marker.exists()

    @pytest.mark.parametrize(
        "name", ["antigravity", "this", "os", "antigravity.x", "a.b.c", "", ".", "..", "a..b"]
    )
    def test_nor_of_python_itself(self, place, name):
        for known in ("antigravity", "this"):
            sys.modules.pop(known, None)
        with pytest.raises(InputError) as e:
            origin.module(_experiment(name), place)
        assert "\n" not in str(e.value)
        assert not {"antigravity", "this"} & set(sys.modules)

    def test_an_installed_method_is_found(self, installed, marker, place):
        (installed / "noisy_method.py").write_text(METHOD.format(marker=str(marker)))
        assert origin.module(_experiment("noisy_method")).make(None) == 1
        assert marker.exists()

    @pytest.mark.parametrize("where", ["{}/evil", "/proc/self/cwd/evil", "{}/../here/evil"])
    def test_a_name_is_no_path(self, place, marker, where):
        (place / "evil.py").write_text(METHOD.format(marker=str(marker)))
        name = "experiments." + where.format(place)
        for experiment in (_experiment(name), _experiment(name, place / "evil.py")):
            with pytest.raises(InputError):
                origin.module(experiment, place / "runs" / "a" / "b")
        assert not marker.exists()

    def test_what_lies_here_is_not_installed(self, place, marker, monkeypatch):
        """However often, and by whatever name, Python looks here."""
        (place / "noisy_evil.py").write_text(METHOD.format(marker=str(marker)))
        (place.parent / "link").symlink_to(place)
        for more in ([str(place)] * 2, ["", str(place)], [f"{place}/."], [str(place.parent / "link")]):
            monkeypatch.setattr(sys, "path", [*more, *sys.path])
            assert origin._installed("noisy_evil") is None
        with pytest.raises(InputError):
            origin.module(_experiment("noisy_evil", place / "noisy_evil.py"), place)
        assert not marker.exists()
        import_module("noisy_evil")
        assert marker.exists()

    def test_nor_what_lies_beside_a_method_of_the_users(self, place, marker, tmp_path):
        own = tmp_path / "downloads"
        own.mkdir()
        (own / "noisy_evil.py").write_text(METHOD.format(marker=str(marker)))
        (own / "mine.py").write_text("class Config: pass\ndef make(cfg): return 2\n")
        assert origin.imported(own / "mine.py").make(None) == 2
        assert str(own) in sys.path
        with pytest.raises(InputError, match="not run here before"):
            origin.module(_experiment("noisy_evil", own / "noisy_evil.py"), place)
        assert not marker.exists()

    def test_a_compiled_file_beside_a_trusted_source(self, place, marker):
        """Python would take it for the source's own: its header says that it need not be looked at."""
        run_ = place / "shared" / "method" / "a"
        run_.mkdir(parents=True)
        source = run_ / origin.KEPT
        source.write_text("class Config: pass\ndef make(cfg): return 2\n")
        kept = Path(util.cache_from_source(str(source)))
        kept.parent.mkdir()
        code = compile(METHOD.format(marker=str(marker)), str(source), "exec")
        kept.write_bytes(util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code))
        experiment = _experiment("method", text=source.read_bytes())
        origin.trust(experiment, run_)
        assert origin.module(experiment, run_).make(None) == 2
        assert not marker.exists()
        spec = util.spec_from_file_location("noisy_other", source)
        spec.loader.exec_module(util.module_from_spec(spec))
        assert marker.exists()

    def test_a_package_around_a_trusted_source(self, place, marker):
        """The user was told of one file."""
        sys.path.insert(0, "")
        (place / "noisy_around").mkdir()
        (place / "noisy_around" / "__init__.py").write_text(NOISY.format(marker=str(marker)))
        source = place / "noisy_around" / "mine.py"
        source.write_text("class Config: pass\ndef make(cfg): return 2\n")
        experiment = _experiment("noisy_around.mine", source, source.read_bytes())
        origin.trust(experiment, place)
        assert origin.module(experiment, place).make(None) == 2
        assert not marker.exists()

    def test_every_command_refuses_in_one_line(self, place, marker, capsys):
        text = METHOD.format(marker=str(marker))
        own = _run(place / "shared" / "method" / "a", experiment=_experiment("method", text=text.encode()))
        (own / origin.KEPT).write_text(text)
        (place / "shared" / "x.png").write_bytes(b"")
        _png(place / "x.png", (8, 8))
        commands = [["sample"], ["export"], ["report"], ["resume"], ["evaluate"], ["translate", "x.png"]]
        commands.append(["project", "x.png"])
        for command, *more in commands:
            with pytest.raises(SystemExit) as status:
                cli.main([command, str(own), *more])
            said = capsys.readouterr()
            assert status.value.code == 2
            assert len(said.err.splitlines()) == 1
            assert "code that was not run here before" in said.err
            assert said.out == ""
        cli.main(["list", str(place)])
        assert not marker.exists()

    def test_nor_does_a_sweep(self, place, marker, capsys):
        text = METHOD.format(marker=str(marker))
        (place / origin.KEPT).write_text(text)
        known = {"experiment": _experiment("method", text=text.encode()), "options": {"storage": None}}
        records.write(place / "sweep.json", known | {"config": {}, "plan": {}, "study": "x"})
        for command in (
            ["resume", str(place)],
            ["sweep", str(place), "--watch"],
            ["compare", str(place), "."],
        ):
            with pytest.raises(SystemExit) as status:
                cli.main(command)
            assert status.value.code == 2
            assert "code that was not run here before" in capsys.readouterr().err
        assert not marker.exists()

    @pytest.mark.parametrize("kind", ["Config", "os", "__class__", "nothing", "make"])
    def test_a_kind_of_data_is_one(self, place, kind):
        experiment = origin.of(mixtures) | {"kind": kind}
        with pytest.raises(InputError, match="no longer has the kind of data"):
            run.method(_record(experiment=experiment))
        records.write(place / "sweep.json", {"experiment": experiment, "options": {"storage": None}})
        with pytest.raises(InputError, match="no longer has the kind of data"):
            sweeps.resume(place)

    def test_features_that_scores_name_are_not_imported(self, installed, marker, place):
        protocol = dataclasses.replace(
            PROTOCOL, features="noisy:function, 0 on 0", metric="fd_noisy_function"
        )
        for name in ("a", "b"):
            score = to_record(Score(1.0, None, protocol), None)
            records.write(place / f"{name}.json", {"scores": [score]})
        found = compare.ranked(compare.expanded([place / "a.json", place / "b.json"]))
        assert len(found) == 2
        assert not marker.exists()

    def test_features_of_a_prepared_set(self, installed, marker, place):
        """TFDS imports the module of a feature, which the set names."""
        from tensorflow_datasets.core.features.feature import FeatureConnector

        folder = place / "shared" / "evil" / "1.0.0"
        folder.mkdir(parents=True)
        (folder / "features.json").write_text(json.dumps({"pythonClassName": "noisy.Image", "image": {}}))
        about = {"name": "evil", "version": "1.0.0", "fileFormat": "array_record", "moduleName": "noisy"}
        (folder / "dataset_info.json").write_text(json.dumps(about))
        with pytest.raises(InputError, match="names noisy.Image, which is no feature of TFDS's own"):
            load("tfds:evil", image_size=8, data_dir=str(place / "shared"))
        for name in ("huggingface:mnist", "someone:mnist"):
            with pytest.raises(InputError, match="bring code of their own, which is not run"):
                load(f"tfds:{name}", image_size=8)
        assert not marker.exists()
        with pytest.raises(ValueError, match="Unrecognized"):
            FeatureConnector.cls_from_name("noisy.Image")
        assert marker.exists()
