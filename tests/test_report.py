"""The report of a run: its figure, and its page, which is opened in a browser where there is one."""

import base64
import dataclasses
import io
import json
import re
import shlex
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import tyro
from PIL import Image

from experiments import cgan, gan
from jaxgan import cli, plots, records, report, run, sampling, train
from jaxgan.config import InputError
from jaxgan.metrics.score import Protocol, Score, to_record
from jaxgan.train import Loop

TINY = {"image_size": 8, "g_hidden": (16,), "d_hidden": (16,), "latent": 4, "batch_size": 16}
FEW = pytest.mark.filterwarnings("ignore:.*biased upwards")  # forty images have no regular covariance

PROTOCOL = Protocol(
    metric="fcd_digits",
    better="lower",
    within=(0, None),
    version=1,
    features="classifier of <digits> & more",
    reference="digits",
    reference_digest="0123",
    examples="16x16x1, resized (bicubic) from 8x8",
    n_reference=1797,
    n_fake=5000,
    generator="EMA",
    batch_norm="running statistics",
    quantised="uint8",
    truncation=None,
    seed=0,
    code="0.1.0",
)
SCORES = {
    "step": 20,
    "seconds": 91.2,
    "best": {"step": 10, "name": "fcd_digits", "value": 5.25},
    "troubles": [{"name": "D <perfect>", "told": "over the last steps D was right: " + 30 * "try less, "}],
    "scores": [
        to_record(Score(7.25, (6.9, 7.5), PROTOCOL), 20),
        to_record(Score(1.1, None, dataclasses.replace(PROTOCOL, metric="memorisation")), 20),
    ],
}


def _start(out, module=gan, **config):
    """A run of 20 steps with checkpoints of 10 and 20, called `<b>&` as a careless user might."""
    every = {"chunk": 10, "sample_every": 10, "evaluate_every": 10, "checkpoint_every": 10, "log_every": 2}
    train.start(module.Config(**{"steps": 20, **config}), Loop(name="<b>&", out=str(out), devices=1, **every))
    return out / module.__name__.rpartition(".")[2] / "<b>&"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run on labelled data, with a report beside it."""
    path = _start(tmp_path_factory.mktemp("report"), **TINY)
    records.write(path / "scores.json", SCORES)
    record = records.read(path)
    record["data"]["facts"]["classes"][3] = "<b>&three"  # the names are no part of a data set's digest
    run.write(path, record)
    report.make(path)
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory, images):
    """A run on data without labels."""
    folder = tmp_path_factory.mktemp("plain")
    np.savez(folder / "plain.npz", image=images + 1)  # no other test's: their statistics would be cached
    with pytest.warns(UserWarning, match="biased upwards"):
        return _start(folder, **TINY, data=f"npz:{folder / 'plain.npz'}")


def _copy(path, to):
    shutil.copytree(path, to / path.name)
    return to / path.name


class _Page(HTMLParser):
    """A page's addresses, alternative texts, headings and visible text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.alts, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.addresses += [attrs[a] for a in ("src", "srcset", "href", "action", "data") if a in attrs]
        if tag == "img":
            self.alts.append(attrs.get("alt"))

    def handle_data(self, data):
        self.text.append(data)


def _page(path):
    return _Page((path / "report.html").read_text())


def _decoded(address):
    """The frames of an image in an address."""
    head, _, content = address.partition(",")
    assert re.fullmatch(r"data:image/(png|gif);base64", head)
    with Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as image:
        frames = getattr(image, "n_frames", 1)
        for i in range(frames):
            image.seek(i)
            image.load()
    return frames


class TestPage:
    def test_it_needs_nothing_beside_it(self, whole):
        text = (whole / "report.html").read_text()
        page = _page(whole)
        assert all(a.startswith("data:") for a in page.addresses)
        assert "script" not in page.tags
        for outside in ("http:", "https:", "url(", "@import"):
            assert outside not in text
        pictures = [a for a in page.addresses if a != "data:,"]
        frames = [_decoded(a) for a in pictures]
        # Samples, neighbours, paths, ten classes, the animation and its still, three curves twice.
        assert len(frames) == 3 + 10 + 2 + 6
        assert sorted(frames)[-2:] == [1, 2]

    def test_a_broken_picture_is_seen(self):
        with pytest.raises(OSError, match="cannot identify"):
            _decoded("data:image/png;base64," + base64.b64encode(b"no picture").decode())

    def test_every_picture_has_a_text_and_there_is_one_heading(self, whole):
        page = _page(whole)
        assert all(page.alts)
        assert page.tags.count("h1") == 1
        assert page.tags.count("html") == page.tags.count("title") == 1

    def test_all_of_a_run_is_on_it(self, whole):
        text = "\n".join(_page(whole).text)
        for part in (
            "gan on digits", "step 20", "7.25", "6.9 to 7.5", "fcd_digits 5.25 at step 10",
            "step 20; 5000 samples (EMA, seed 0) and 1797 of digits", "n_fake", "Nearest training images",
            "Interpolations", "Over training", "step 10 to 20", "Classes", "Shares of classes",
            "Curves", "g_hidden", "--g-hidden 16", "optax", "cpu", "jaxgan resume",
        ):  # fmt: skip
            assert part in text, part

    def test_texts_are_escaped(self, whole):
        page = _page(whole)
        text = "\n".join(page.text)
        assert "<b>&three" in text  # the class
        assert "<b>& " in text  # the run
        assert "classifier of <digits> & more" in text  # a protocol
        assert not {"digits", "three"} & set(page.tags)
        raw = (whole / "report.html").read_text()
        assert "&lt;b&gt;&amp;three" in raw
        assert not re.search(r"<b>(?!</b>)", raw)  # a legend's own are empty

    def test_troubles_are_on_it_of_the_step_alone(self, whole, tmp_path):
        text = (whole / "report.html").read_text()
        assert "<h2>Warnings</h2>" in text
        assert "<strong>D &lt;perfect&gt;</strong>: over the last steps D was right" in text
        report.make(whole, 10, out=tmp_path)
        assert "<h2>Warnings</h2>" not in (tmp_path / "report.html").read_text()
        with_them, without = (Image.open(p / "report.png").size for p in (whole, tmp_path))
        assert with_them[1] > without[1]

    def test_shares_add_up_to_all(self, whole):
        pairs = re.findall(r"<small>([\d.]+)% / ([\d.]+)%</small>", (whole / "report.html").read_text())
        assert len(pairs) == 10
        np.testing.assert_allclose(np.array(pairs, float).sum(0), 100, atol=0.5)


class TestReport:
    def test_the_same_run_has_the_same_report(self, whole, tmp_path):
        report.make(whole, out=tmp_path / "a")
        for name in ("report.png", "report.html"):
            assert (tmp_path / "a" / name).read_bytes() == (whole / name).read_bytes()
        report.make(whole, 10, seed=1, out=tmp_path / "b")
        text = (tmp_path / "b" / "report.html").read_text()
        assert "step 10 of 20" in text
        assert "None of step 10, which is shown: `jaxgan evaluate` makes them." in text
        assert text.index("of other steps") < text.index("7.25")
        assert "seed 1" in text

    def test_the_pictures_are_the_runs(self, whole):
        seen = report.gather(whole)
        generator = sampling.load(whole)
        import jax

        shown, pairs = seen.panels[0].what.images, seen.panels[1].what.images
        samples = plots.to_uint8(generator.sample(jax.random.key(0), len(shown)))
        assert np.abs(samples.astype(int) - shown).max() <= 1
        np.testing.assert_array_equal(pairs[::2][:5], shown[:5])
        data = run.dataset(seen.record)["image"].reshape(1797, -1).astype(float)
        distance = np.square(data[None] - shown[:5].reshape(5, 1, -1)).sum(2)
        np.testing.assert_array_equal(data[distance.argmin(1)], pairs[1::2][:5].reshape(5, -1))

    def test_classes_stand_where_the_judge_sees_them(self, whole):
        from jaxgan.metrics import judge as judges

        seen = report.gather(whole)
        judge = judges.cached(run.dataset(seen.record))
        grid, shares = seen.panels[3].what.images, seen.panels[4].what
        for i, image in enumerate(grid):
            if image.shape[-1] != 4:
                assert judges.judge(judge, image[None])[0].argmax() == i % 10
        made = shares.fake > 0
        empty = [all(x.shape[-1] == 4 for x in grid[c::10]) for c in range(10)]
        np.testing.assert_array_equal(made, ~np.array(empty))
        np.testing.assert_allclose(shares.real[0], 178 / 1797)

    def test_a_run_that_is_still_training(self, whole, tmp_path):
        """No scores, no animation, and fewer steps than it shall have."""
        path = _copy(whole, tmp_path)
        (path / "scores.json").unlink()
        shutil.rmtree(path / "samples")
        shutil.rmtree(path / "checkpoints" / "20")
        (path / "metrics.jsonl").write_text('{"step": 2, "d/loss": 1.0}\n{"step": 4, "d/lo')
        report.make(path)
        text = "\n".join(_page(path).text)
        assert "None yet: a run is scored when it has finished." in text
        assert "step 10 of 20" in text
        assert "Over training" not in text
        assert "go on with it" in text
        assert "go on with it" not in "\n".join(_page(whole).text)

    def test_a_grid_that_is_half_written(self, whole, tmp_path):
        path = _copy(whole, tmp_path)
        newest = path / "samples" / "0000020.png"
        seen = report.gather(path)
        assert "step 10 to 20" in report._animation(seen)["text"]
        newest.write_bytes(newest.read_bytes()[:100])
        assert report._animation(seen) is None

    @FEW
    def test_data_without_labels(self, plain, whole):
        (plain / "scores.json").unlink()
        report.make(plain)
        text = "\n".join(_page(plain).text)
        assert "Classes" not in text
        assert "Shares" not in text
        with Image.open(plain / "report.png") as image, Image.open(whole / "report.png") as other:
            assert image.width == other.width
            assert image.height < 0.7 * other.height  # three pictures in one row, not two rows of two

    @FEW
    def test_data_that_changed_since(self, plain, tmp_path, images):
        path = _copy(plain, tmp_path)
        np.savez(tmp_path / "d.npz", image=images[::-1])
        record = records.read(path)
        record["config"]["data"] = f"npz:{tmp_path / 'd.npz'}"
        run.write(path, record)
        with pytest.raises(InputError, match="no longer what the run was trained on"):
            run.dataset(record)


class TestCommand:
    def test_it_says_where_the_files_are(self, whole, tmp_path, capsys):
        cli.main(["report", str(whole), "--checkpoint", "best", "--out", str(tmp_path / "new")])
        said = capsys.readouterr().out
        for name in ("report.png", "report.html"):
            assert str(tmp_path / "new" / name) in said
        with Image.open(tmp_path / "new" / "report.png") as image:
            assert np.asarray(image.convert("L")).std() > 20

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["/nowhere"], "is no run's folder"),
            (["RUN", "--checkpoint", "first"], "last, best, or a step"),
            (["RUN", "--checkpoint", "7"], "no checkpoint of step 7"),
            (["RUN", "--seed", "-1"], "--seed -1"),
            (["RUN", "--out", "/dev/null/x"], "cannot be written to"),
        ],
    )
    def test_bad_input(self, whole, capsys, args, message):
        before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}
        with pytest.raises(SystemExit) as e:
            cli.main(["report", *(str(whole) if a == "RUN" else a for a in args)])
        assert e.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()} == before

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("scores.json", "{", r"scores.json is damaged"),
            ("scores.json", '{"fcd": 7.2}', "scores.json is damaged"),
        ],
    )
    def test_damaged_files(self, whole, tmp_path, name, content, message):
        path = _copy(whole, tmp_path)
        (path / name).write_text(content)
        with pytest.raises(InputError, match=message):
            report.make(path)

    def test_damaged_rows_are_told_and_the_rest_is_shown(self, whole, tmp_path, capsys):
        path = _copy(whole, tmp_path)
        lines = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
        (path / "metrics.jsonl").write_text("".join(["{]\n", *lines[1:]]))
        assert len(report.gather(path).rows) == len(lines) - 1
        told = f"metrics.jsonl is damaged: of {len(lines)} rows {len(lines) - 1} can be read"
        assert told in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("module", "config"),
        [
            (gan, {}),
            (gan, {**TINY, "steps": 7, "g_lr": 1e-05, "data": "folder:a b"}),
            (cgan, {"n_classes": 10, "shared_draws": True, "ema_decay": None}),
        ],
    )
    def test_the_command_makes_the_same_config(self, module, config):
        cfg = module.Config(**config)
        record = {"experiment": {"module": module.__name__, "file": module.__file__}, "loop": {}}
        python, flag, name, *flags = shlex.split(report.command(record, cfg))
        assert (python, flag, name) == ("python", "-m", module.__name__)
        again = tyro.cli(module.Config, args=flags)
        assert again == cfg

    def test_the_command_has_what_of_the_loop_counts(self):
        record = {
            "experiment": {"module": "__main__", "file": "my method.py"},
            "loop": {"chunk": 7, "accumulate": 2, "patience": 3, "evaluate_every": 100, "data_dir": "d"},
        }
        assert report.command(record, gan.Config()) == (
            "python 'my method.py' --accumulate 2 --patience 3 --data-dir d --evaluate-every 100"
        )


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), ""
)
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
).split()

# Stands around the page, whose own policy forbids it any script, and says what became of it in a window
# of 400 pixels: a browser's own window may not be as narrow.
AROUND = """<!doctype html>
<iframe style="width: 400px; height: 900px; border: 0" srcdoc="{page}"></iframe><pre></pre>
<script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  document.querySelector("pre").textContent = JSON.stringify({{
    images: [...page.images].map(i => i.complete ? i.naturalWidth : 0),
    shown: [...page.images].map(i => i.getBoundingClientRect().width),
    scroll: root.scrollWidth, client: root.clientWidth,
    requests: frame.contentWindow.performance.getEntriesByType("resource").map(r => r.name),
    dark: frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches,
    back: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
  }});
}};
</script>"""


def _browse(folder, address, *flags):
    profile = folder / "profile"
    done = subprocess.run(
        [BROWSER, *QUIET, f"--user-data-dir={profile}", *flags, address],
        capture_output=True,
        text=True,
        timeout=120,
    )
    shutil.rmtree(profile, ignore_errors=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _opened(folder, text, *flags):
    """What a browser has made of a page."""
    file = folder / "around.html"
    file.write_text(AROUND.format(page=escape(text)))
    dom = _browse(folder, file.as_uri(), "--virtual-time-budget=10000", *flags, "--dump-dom")
    return json.loads(unescape(re.search(r"<pre>(.+?)</pre>\s*<script>", dom, re.DOTALL)[1]))


@pytest.mark.skipif(not BROWSER, reason="no chromium, chromium-browser, google-chrome or chrome on PATH")
class TestBrowser:
    @pytest.mark.parametrize("dark", [False, True])
    def test_every_picture_is_shown_and_nothing_is_asked_for(self, whole, tmp_path, dark):
        flags = [f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        seen = _opened(tmp_path, (whole / "report.html").read_text(), *flags)
        assert len(seen["images"]) == 3 + 10 + 1 + 3
        assert all(seen["images"])
        assert min(seen["shown"]) > 40
        assert seen["client"] == 400
        assert seen["scroll"] <= seen["client"]
        assert seen["requests"] == []
        assert seen["dark"] is dark
        assert seen["back"] == ("rgb(15, 18, 22)" if dark else "rgb(244, 245, 247)")

    def test_what_is_wrong_is_seen(self, tmp_path):
        """A broken picture, a request, and a page wider than its window."""
        page = (
            '<body><img src="data:image/png;base64,AAAA"><img src="http://127.0.0.1:9/x.png">'
            '<div style="width: 700px">wide</div></body>'
        )
        seen = _opened(tmp_path, page)
        assert seen["images"] == [0, 0]
        assert seen["scroll"] > seen["client"]
        assert seen["requests"] == ["http://127.0.0.1:9/x.png"]

    def test_the_policy_lets_nothing_out(self, whole, tmp_path):
        """Even where a text were not escaped: a script and an address in the page come to nothing."""
        text = (whole / "report.html").read_text()
        more = '<img src="http://127.0.0.1:9/x.png"><script>document.body.innerHTML = ""</script></main>'
        seen = _opened(tmp_path, text.replace("</main>", more))
        assert len(seen["images"]) == 3 + 10 + 1 + 3 + 1
        assert seen["images"][-1] == 0
        assert all(seen["images"][:-1])

    def test_a_screenshot(self, whole, tmp_path):
        shot = tmp_path / "shot.png"
        _browse(tmp_path, (whole / "report.html").as_uri(), "--window-size=1200,900", f"--screenshot={shot}")
        with Image.open(shot) as image:
            pixels = np.asarray(image.convert("L"))
            assert image.width == 1200
        assert (pixels > 230).mean() > 0.3  # the page's own ground
        assert (pixels < 30).mean() > 0.02  # ink and pictures
