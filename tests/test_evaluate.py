"""`jaxgan evaluate` and `jaxgan compare`, on runs of a few steps."""

import json
import shutil
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan.kinds.images
from experiments import gan
from jaxgan import cli, compare, evaluate, records, run, sampling, train
from jaxgan.config import InputError
from jaxgan.data import load
from jaxgan.metrics.score import intervals
from jaxgan.train import Loop

TINY = {"image_size": 8, "g_hidden": (16,), "d_hidden": (16,), "latent": 4, "batch_size": 16, "steps": 20}
FAST = ["--n", "600", "--pairs", "300", "--groups", "4"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluate")
    train.start(
        gan.Config(**TINY),
        Loop(name="a", out=str(out), devices=1, chunk=10, sample_every=0, checkpoint_every=10),
    )
    return out / "gan" / "a"


@pytest.fixture
def trained(made, tmp_path):
    """A run of 20 steps with checkpoints of 10 and 20, for this test alone."""
    return shutil.copytree(made, tmp_path / "a")


def _records(path):
    return json.loads((path / "scores.json").read_text())["scores"]


def _by_name(path, step=20, n=600):
    return {
        r["name"]: r["value"] for r in _records(path) if (r["step"], r["protocol"]["n_fake"]) == (step, n)
    }


def test_it_repeats_what_training_said(trained):
    before = _records(trained)
    cli.main(["evaluate", str(trained), "--n", "5000", "--metrics", "fd", "diversity"])
    after = _records(trained)
    assert {r["name"]: r for r in after} == {r["name"]: r for r in before}
    assert len(after) == len(before)
    assert records.read(trained)["config"]["steps"] == 20  # the run itself is as it was


def test_the_usual_metrics_are_added_and_printed_with_their_protocol(trained, capsys):
    before = _records(trained)
    cli.main(["evaluate", str(trained), *FAST])
    assert _records(trained)[: len(before)] == before
    found = _records(trained)[len(before) :]
    assert [r["name"] for r in found] == [
        "fcd_digits", "kd_classifier", "precision_classifier", "recall_classifier", "density_classifier",
        "coverage_classifier", "memorisation", "diversity",
    ]  # fmt: skip
    text = capsys.readouterr().out
    assert "600 samples (EMA, seed 0) and 1797 of digits; classifier v3" in text
    assert "300 samples (EMA, seed 0) and 300 of digits" in text
    assert all(r["interval"][0] <= r["value"] <= r["interval"][1] for r in found)


def test_a_seed_chooses_the_latents(trained):
    for seed in ("0", "0", "1"):
        cli.main(["evaluate", str(trained), *FAST, "--metrics", "fd", "--seed", seed])
    one, other = [r for r in _records(trained) if r["protocol"]["n_fake"] == 600]
    assert (one["protocol"]["seed"], other["protocol"]["seed"]) == (0, 1)
    assert 0 < abs(one["value"] - other["value"]) < 0.2 * one["value"]


def test_all_checkpoints_are_drawn(trained):
    cli.main(["evaluate", str(trained), *FAST, "--metrics", "fd", "precision_recall", "--checkpoint", "all"])
    steps = [r["step"] for r in _records(trained) if r["name"] == "recall_classifier"]
    assert steps == [10, 20]
    with Image.open(trained / "evaluation.png") as picture:
        assert len(picture.convert("L").getcolors()) > 50


def test_step_0_is_the_untrained_generator(trained, monkeypatch):
    cli.main(["evaluate", str(trained), *FAST, "--metrics", "fd", "--checkpoint", "0"])
    untrained = sampling.load(trained, 0)
    assert untrained.step == 0
    again = sampling.initial_state(
        gan.make, untrained.config, run.example_of(records.read(trained))
    ).g.averaged
    np.testing.assert_array_equal(*(v["params"]["Dense_0"]["kernel"] for v in (untrained.variables, again)))
    assert _by_name(trained, 0)["fcd_digits"] > 100
    monkeypatch.delenv("XLA_FLAGS")  # as users have it, not as tests are compiled
    briefly = sampling.load(trained, 0)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), untrained.variables, briefly.variables)
    assert sampling.load(trained).step == 20


def test_other_features_and_truncation(trained):
    args = ["--features", "cells", "projection", "--metrics", "fd", "diversity", "--psi", "0.5"]
    cli.main(["evaluate", str(trained), *FAST, *args])
    found = {r["name"]: r["protocol"] for r in _records(trained) if r["protocol"]["truncation"] == 0.5}
    assert set(found) == {"fd_cells", "fd_projection", "diversity"}
    assert found["diversity"]["features"] == "pixels"


def test_images_of_others_are_scored_beside_the_data(trained, capsys):
    """The training images themselves: their distance is 0, and memorisation tells them."""
    data = run.dataset(records.read(trained))
    file = trained / "copies.npz"
    np.savez(file, image=data["image"])
    before = _records(trained)
    cli.main(["evaluate", str(trained), "--images", f"npz:{file}", "--n", "1797", "--pairs", "300"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if "better)" in line]
    values = {name: float(value) for name, value, *_ in lines}
    assert values["fcd_digits"] == pytest.approx(0, abs=1e-6)
    assert values["memorisation"] == 0
    assert _records(trained) == before


def test_labels_of_other_classes_are_not_taken_for_the_datas(trained, tmp_path, capsys):
    data = run.dataset(records.read(trained))
    for c, name in enumerate(("zero", "one", "two")):  # which sort otherwise than 0, 1, 2
        (tmp_path / "set" / name).mkdir(parents=True)
        for i, image in enumerate(data["image"][data["label"] == c][:10]):
            Image.fromarray(image[..., 0]).save(tmp_path / "set" / name / f"{i}.png")
    given = ["--images", f"folder:{tmp_path / 'set'}"]
    with pytest.raises(SystemExit):
        cli.main(["evaluate", str(trained), *given, "--metrics", "agreement"])
    assert "agreement is left out: needs images asked for by label" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="30 samples of 128 features"):
        cli.main(["evaluate", str(trained), *given, "--metrics", "fd", "--groups", "0"])
    out = capsys.readouterr().out
    assert f"folder:{tmp_path / 'set'} " in out
    assert "30 samples (images as given, resized" not in out
    assert "30 samples (images as given, seed 0)" in out


def test_a_plan_asks_each_space_for_what_is_named_after_it(trained):
    data = run.dataset(records.read(trained))

    def asked(metrics, conditional=True):
        options = jaxgan.kinds.images.Options(metrics=tuple(metrics), features=("classifier", "raw"))
        parts, missed = jaxgan.kinds.images.plan(data, data, options, conditional=conditional)
        assert missed == []
        return [found for _, found in parts]

    assert asked(["agreement", "fd"]) == [["agreement", "fd"], ["fd"]]
    assert asked(["agreement"]) == [["agreement"]]
    every = ["fd", "kd", "precision_recall", "density_coverage"]
    assert asked([]) == [[*every, "memorisation", "diversity", "agreement"], every]
    assert asked([], conditional=False) == [[*every, "memorisation", "diversity"], every]


@pytest.fixture(scope="module")
def three(made, tmp_path_factory):
    """A run, the same with all scores halved, and one scored by fewer samples."""
    root = tmp_path_factory.mktemp("three")
    a, b, c = (shutil.copytree(made, root / name) for name in "abc")
    known = json.loads((b / "scores.json").read_text())
    for record in known["scores"]:
        record["value"] /= 2
        record["interval"] = [x / 2 for x in record["interval"]]
    records.write(b / "scores.json", known)
    (c / "scores.json").unlink()
    cli.main(["evaluate", str(c), *FAST, "--metrics", "fd"])
    return a, b, c


def test_a_comparison_ranks(three, capsys):
    a, b, _ = map(str, three)
    cli.main(["compare", a, b])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.startswith("fcd_digits, lower is better: 5000 samples (EMA, seed 0) and 1797 of digits")
    assert first.split()[0] == b
    assert second.split()[0] == a
    assert "not told apart" not in first + second
    cli.main(["compare", a, a, "--metric", "diversity"])
    assert "not told apart from the one above" in capsys.readouterr().out.splitlines()[2]
    ranked = compare.ranked([three[0], three[1]], "memorisation")  # the nearer to 1
    gaps = [abs(entry.value - 1) for entry in ranked]
    assert gaps == sorted(gaps)


def test_a_comparison_of_different_protocols_is_refused(three, capsys):
    a, _, c = map(str, three)
    with pytest.raises(SystemExit) as e:
        cli.main(["compare", a, c])
    assert e.value.code == 2
    told = capsys.readouterr().err
    assert "n_fake: 600, not 5000" in told
    assert "not comparable" in told
    cli.main(["evaluate", a, *FAST, "--metrics", "fd"])  # now both have one alike, and that is taken
    cli.main(["compare", a, c])
    assert "600 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["evaluate", "RUN", "--metrics", "fid"], "--metrics 'fid' is not one of"),
        (
            ["evaluate", "RUN", "--metrics", "agreement"],
            "agreement is left out: needs images asked for by label",
        ),
        (["evaluate", "RUN", "--features", "clasifier"], "did you mean 'classifier'"),
        (["evaluate", "RUN", "--checkpoint", "15"], "no checkpoint of step 15, but of [10, 20]"),
        (["evaluate", "RUN", "--checkpoint", "worst"], "--checkpoint 'worst': last, best, all, or a step"),
        (["evaluate", "RUN", "--n", "0"], "--n 0: it must be at least 1"),
        (
            ["evaluate", "RUN", "--n", "3", "--metrics", "precision_recall"],
            "fake features must have at least 4 rows, not 3; --n 4 would do",
        ),
        (["evaluate", "RUN", "--psi", "0"], "psi is 0.0: it must be 0.01 or more, and finite"),
        (["evaluate", "RUN", "--images", "npz:none.npz"], "none.npz is not a file"),
        (["evaluate", "RUN", "--psi", "inf"], "--psi inf: it must be a finite number"),
        (["evaluate", "RUN", "--checkpoint", "\u00b2"], "last, best, all, or a step"),
        (["evaluate", "RUN", "--groups", "1"], "--groups 1: an interval takes 2 or more groups"),
        (["evaluate", "RUN", "--split", "test"], "--split test: digits has no splits"),
        (
            ["evaluate", "RUN", "--samples", "digits", "--psi", "1"],
            "--samples are scored as they are; leave out",
        ),
        (
            ["evaluate", "RUN", "--samples", "digits", "--checkpoint", "10"],
            "--samples are scored as they are",
        ),
        (["evaluate", "RUN", "--samples-split", "test"], "is of --samples, which is not given"),
        (["evaluate", "RUN", "--samples", "digits", "--samples-split", "x"], "digits has no splits"),
        (["evaluate", "NONE"], "is no run's folder"),
        (["compare", "RUN"], "a comparison takes two runs or more"),
        (["compare", "RUN", "NONE"], "is no run's folder"),
        (["compare", "RUN", "RUN", "--metric", "fcd"], "has no fcd, but diversity, fcd_digits, memorisation"),
        (["compare", "RUN", "RUN", "--step", "7"], "has no scores of step 7, but of [20]"),
    ],
)
def test_bad_input_is_a_line_and_changes_nothing(trained, tmp_path, capsys, args, told):
    before = (trained / "scores.json").read_bytes()
    places = {"RUN": str(trained), "NONE": str(tmp_path / "none")}
    with pytest.raises(SystemExit) as e:
        cli.main([places.get(a, a) for a in args])
    error = capsys.readouterr().err
    assert e.value.code == 2
    assert told in error
    assert error.count("\n") == 1
    assert (trained / "scores.json").read_bytes() == before


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"scores": [{}]}'])
def test_damaged_scores_are_told(trained, content):
    (trained / "scores.json").write_text(content)
    with pytest.raises(InputError, match="scores.json is damaged or of another version .*; move it away"):
        evaluate.read(trained)


def test_a_run_without_scores_is_told(trained):
    (trained / "scores.json").unlink()
    with pytest.raises(InputError, match="has no scores yet; make them by `jaxgan evaluate"):
        compare.ranked([trained, trained])


def _folder(root, images, label=None, size=None):
    """Images as PNG files, in folders of their classes if they have any."""
    for i, image in enumerate(images):
        where = root if label is None else root / f"c{label[i]}"
        where.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(image[..., 0])
        (picture if size is None else picture.resize(size)).save(where / f"{i:04d}.png")
    return f"folder:{root}"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Specs of real digits with classes, of others, of noise, and of larger ones without classes."""
    root, data = tmp_path_factory.mktemp("digits"), load("digits", image_size=8)
    image, label = data["image"], data["label"]
    order = np.random.default_rng(0).permutation(len(image))
    noise = np.random.default_rng(1).integers(0, 256, (300, 8, 8, 1), np.uint8)
    np.savez(root / "other.npz", image=image[order[700:1000]], label=label[order[700:1000]])
    return {
        "real": _folder(root / "real", image[order[:700]], label[order[:700]]),
        "plain": _folder(root / "plain", image[order[:300]]),
        "other": f"npz:{root / 'other.npz'}",
        "noise": _folder(root / "noise", noise),
        "large": _folder(root / "large", image[order[700:1000]], size=(20, 16)),
    }


class TestTwoSetsWithoutARun:
    @pytest.fixture(autouse=True)
    def _here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_they_are_scored_stored_and_compared(self, digits, capsys):
        for name in ("other", "noise"):
            cli.main(["evaluate", digits["real"], "--images", digits[name], "--out", f"{name}.json"])
        text = capsys.readouterr().out
        assert "other.npz: all 300 images are scored" in text
        assert "300 samples (images as given, seed 0) and 700 of folder:" in text
        cli.main(["compare", "noise.json", "other.json"])
        head, first, second = capsys.readouterr().out.splitlines()
        assert head.startswith("fcd_real, lower is better")
        assert (first.split()[0], second.split()[0]) == ("other.json", "noise.json")
        raw = ["--metrics", "fd", "--features", "raw", "--out", "noise.json"]
        cli.main(["evaluate", digits["real"], "--images", digits["noise"], *raw])
        names = [r["name"] for r in json.loads(Path("noise.json").read_text())["scores"]]
        assert (names[0], names[-1]) == ("fcd_real", "fd_raw")  # those before are kept

    def test_without_classes_cells_are_compared(self, digits, capsys):
        cli.main(["evaluate", digits["plain"], "--images", digits["other"]])
        assert "fd_cells" in capsys.readouterr().out
        assert (records := json.loads(Path("other.scores.json").read_text())["scores"])
        assert {r["protocol"]["examples"] for r in records} == {"8x8x1"}

    def test_labels_of_the_same_classes_are_what_was_asked_for(self, digits, capsys):
        cli.main(["evaluate", digits["other"], "--images", digits["other"], "--metrics", "agreement"])
        assert float(capsys.readouterr().out.split("agreement")[1].split()[0]) > 0.9

    def test_every_resize_and_crop_is_in_the_protocol(self, digits, capsys):
        few = ["--metrics", "diversity", "--out"]
        cli.main(["evaluate", digits["plain"], "--images", digits["noise"], *few, "a.json"])
        cli.main(["evaluate", digits["plain"], "--images", digits["large"], *few, "b.json"])
        told = "images as given, resized (bicubic) from the central square of 20x16"
        assert told in capsys.readouterr().out
        with pytest.raises(SystemExit):
            cli.main(["compare", "a.json", "b.json"])
        assert f"generator: {told}, not images as given" in capsys.readouterr().err
        cli.main(
            ["evaluate", digits["plain"], "--images", digits["noise"], "--image-size", "16", *few, "c.json"]
        )
        examples = {r["protocol"]["examples"] for r in json.loads(Path("c.json").read_text())["scores"]}
        assert examples == {"16x16x1, resized (bicubic) from 8x8"}
        with pytest.raises(SystemExit):
            cli.main(["compare", "a.json", "c.json"])
        assert "are not comparable" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("args", "told"),
        [
            (["real"], "is a data set and no run: name what to score beside it by --images"),
            (["real", "--images", "folder:nowhere"], "folder:nowhere is not a folder"),
            (["folder:nowhere", "--images", "real"], "folder:nowhere is not a folder"),
            (["npz:nowhere.npz", "--images", "real"], "is not a file"),
            (["real", "--images", "noise", "--psi", "1"], "--samples are scored as they are"),
            (["real", "--images", "noise", "--split", "test"], "has no splits"),
            (["real", "--images", "noise", "--out", "x.txt"], "--out x.txt: a name ending in .json"),
            (
                ["plain", "--images", "noise", "--metrics", "diversity", "--out", "/proc/x.json"],
                "/proc/x.json cannot be written",
            ),
            (["real", "--images", "noise", "--metrics", "agreement"], "needs images asked for by label"),
            (["plain", "--images", "noise", "--features", "classifier"], "classifier features are left out"),
            (
                ["plain", "--images", "noise", "--features-file", "x"],
                "no metric looks at a classifier's features",
            ),
        ],
    )
    def test_bad_input_is_a_line(self, digits, args, told, capsys):
        with pytest.raises(SystemExit) as e:
            cli.main(["evaluate", *(digits.get(a, a) for a in args), "--n", "50", "--groups", "0"])
        error = capsys.readouterr().err
        assert e.value.code == 2
        assert told in error
        assert error.count("\n") == 1

    def test_the_same_data_elsewhere_are_the_same(self, digits, capsys, tmp_path):
        """And so many samples are told as all have."""
        shutil.copytree(digits["plain"].partition(":")[2], tmp_path / "x" / "plain")
        few = ["--metrics", "diversity", "--groups", "0", "--out"]
        cli.main(["evaluate", digits["plain"], "--images", digits["noise"], *few, "a.json"])
        cli.main(["evaluate", f"folder:{tmp_path}/x/plain", "--images", digits["other"], *few, "b.json"])
        cli.main(["compare", "a.json", "b.json"])
        cli.main(["evaluate", digits["plain"], "--images", digits["noise"], *few, "c.json", "--n", "9"])
        capsys.readouterr()
        with pytest.raises(SystemExit):
            cli.main(["compare", "a.json", "c.json"])
        assert "Score both alike by `jaxgan evaluate --n 9`" in capsys.readouterr().err

    def test_a_folder_that_is_no_run_is_told_how_to_be_named(self, digits, capsys):
        folder = digits["plain"].partition(":")[2]
        with pytest.raises(SystemExit):
            cli.main(["evaluate", folder, "--images", digits["noise"]])
        assert (
            f"is no run's folder; if it holds real images, name it folder:{folder}" in capsys.readouterr().err
        )

    def test_a_file_of_other_samples_is_kept(self, digits, capsys):
        few = ["--metrics", "diversity", "--out", "a.json"]
        cli.main(["evaluate", digits["plain"], "--images", digits["noise"], *few])
        before = Path("a.json").read_text()
        with pytest.raises(SystemExit):
            cli.main(["evaluate", digits["plain"], "--images", digits["other"], *few])
        assert "a.json holds scores of folder:" in capsys.readouterr().err
        assert Path("a.json").read_text() == before


@pytest.mark.filterwarnings("ignore:.*biased upwards")
def test_one_metric_that_cannot_be_taken_loses_no_other(trained, monkeypatch, capsys):
    """Of three samples, without labels or Inception's weights; all that could not be had are named."""

    def none():
        raise InputError("the weights are not here")

    monkeypatch.setattr("jaxgan.metrics.inception.load", none)
    args = ["--n", "3", "--metrics", "fd", "precision_recall", "is", "agreement", "swd", "memorisation"]
    with pytest.warns(UserWarning, match="left out") as told:
        cli.main(["evaluate", str(trained), *args, "--features", "classifier", "inception"])
    text = [str(w.message) for w in told if "left out" in str(w.message)]
    assert [line.partition(" ")[0] for line in text] == ["inception", "precision_recall", "is", "agreement"]
    assert (
        "precision_recall is left out: fake features must have at least 4 rows, not 3; --n 4 would do" in text
    )
    assert "--n 10 would do" in text[2]
    names = set(_by_name(trained, n=3))
    assert names == {"fcd_digits", "memorisation", "swd"}


def test_a_classifier_is_trained_only_for_a_metric_that_sees_it(trained, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("jaxgan.metrics.judge.train", lambda data, seed: pytest.fail("trained"))
    cli.main(["evaluate", str(trained), *FAST, "--metrics", "memorisation"])
    cli.main(["evaluate", str(trained), *FAST, "--metrics", "fd", "--features", "raw"])
    assert {"memorisation", "fd_raw"} <= set(_by_name(trained, n=600))


def test_a_classifier_is_shared_by_a_file(trained, tmp_path, capsys):
    args = ["evaluate", str(trained), *FAST, "--metrics", "fd", "--features-file", str(tmp_path / "c")]
    cli.main(args)
    assert f"written to {tmp_path / 'c'}" in capsys.readouterr().out
    cli.main(args)
    assert "written" not in capsys.readouterr().out


def _as_seed(path, seed, value):
    """The run as one of another seed, with another score."""
    record = records.read(path)
    record["config"]["seed"] = seed
    run.write(path, record)
    rows = [{"step": step, "score/fcd_digits": value + 20 - step} for step in (10, 20)]
    with (path / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    known = json.loads((path / "scores.json").read_text())
    for score in known["scores"]:
        score["value"], score["interval"] = value, [value - 1, value + 1]
    records.write(path / "scores.json", known)
    return path


class TestSeeds:
    @pytest.fixture
    def lanes(self, made, tmp_path):
        """A folder of lanes of four seeds, of scores 8, 10, 12 and 14, and one that was frozen; and a run of
        another config, of 30."""
        root = tmp_path / "lanes"
        for seed, value in enumerate((8.0, 10.0, 12.0, 14.0)):
            _as_seed(shutil.copytree(made, root / f"seed-{seed}"), seed, value)
        names = [f"seed-{seed}" for seed in range(5)]
        records.write(root / "lanes.json", {"lanes": names, "failed": {"seed-4": "loss"}})
        other = _as_seed(shutil.copytree(made, tmp_path / "other"), 0, 30.0)
        record = records.read(other)
        record["config"]["g_lr"] = 0.5
        run.write(other, record)
        return root, other

    def test_runs_that_differ_in_the_seed_alone_are_one(self, lanes, tmp_path, capsys):
        root, other = lanes
        cli.main(["compare", str(other), str(root), "--out", str(tmp_path / "curves.png")])
        frozen, head, explained, first, second, curves = capsys.readouterr().out.splitlines()
        assert frozen == f"{root}: frozen and left out: seed-4"
        assert "of several seeds: the mean and its interval of 95 % over them" in explained
        # 11 +- t(3) s / 2 = 3.1824 * 2.5820 / 2 = 4.1085
        assert first.split() == [f"{root}/seed-*", "step", "20", "11", "6.891", "to", "15.11", "4", "seeds"]
        assert second.split() == [str(other), "step", "20", "30", "29", "to", "31"]
        with Image.open(tmp_path / "curves.png") as picture:
            assert len(picture.convert("L").getcolors()) > 50

    def test_an_interval_over_seeds_stays_within_a_scores_bounds(self, lanes):
        root, other = lanes
        for seed, value in enumerate((0.1, 0.2, 9.0, 0.1)):
            _as_seed(root / f"seed-{seed}", seed, value)
        best = compare.ranked(compare.expanded([root, other]), "fcd_digits")[0]
        assert best.interval[0] == 0
        assert best.interval[1] > 9

    def test_what_differs_in_more_is_apart(self, lanes):
        root, other = lanes
        paths = compare.expanded([root / "seed-0", root / "seed-1", other, root / "seed-1"])
        sizes = [len(entry.members) for entry in compare.ranked(paths)]
        assert sorted(sizes) == [1, 1, 2]  # a run that is named twice is no third seed

    def test_a_picture_that_cannot_be_drawn_is_a_line(self, lanes, tmp_path, capsys):
        for out in ("curves.xyz", "nowhere/curves.png"):
            with pytest.raises(SystemExit) as e:
                cli.main(["compare", *map(str, lanes), "--out", str(tmp_path / out)])
            assert e.value.code == 2
            error = capsys.readouterr().err
            assert "cannot be written" in error
            assert error.count("\n") == 1


def test_a_share_near_its_bound_has_an_interval_that_holds_it_as_often_as_it_says():
    """Where the jackknife alone, cut at the bound, is certain of what it has never seen to fail."""

    def held(shares, p=0.99, n=200, trials=300):
        count = 0
        for i in range(trials):
            x = np.random.default_rng(i).random(n) < p
            of = lambda rows, x=x: {"a": x[rows].mean()}  # noqa: E731
            low, high = intervals(of, {"a": x.mean()}, n, bounds={"a": (0, 1)}, shares=shares)["a"]
            assert 0 <= low <= x.mean() <= high <= 1
            count += low <= p <= high
        return count / trials

    assert held(["a"]) >= 0.92
    assert held([]) < 0.9


def test_a_trouble_is_in_the_list(trained, capsys):
    known = json.loads((trained / "scores.json").read_text()) | {"troubles": []}
    records.write(trained / "scores.json", known)
    cli.main(["list", str(trained.parent)])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[-1] == "trouble"
    assert row.split()[-1].replace(".", "").isdigit()  # the minutes: none
    known["troubles"] = [{"name": "D perfect", "told": "x"}, {"name": "copies", "told": "y"}]
    records.write(trained / "scores.json", known)
    cli.main(["list", str(trained.parent)])
    assert capsys.readouterr().out.splitlines()[1].endswith("D perfect, copies")
    (trained / "scores.json").write_text("{")
    cli.main(["list", str(trained.parent)])
    assert "digits  20/20  damaged, or of another version" in capsys.readouterr().out


def test_a_score_names_the_statistics(trained, capsys):
    score = ["evaluate", str(trained), "--n", "200", "--metrics", "diversity", "--groups", "0"]
    for which in ("running", "standing", "batch"):
        cli.main([*score, "--statistics", which])
    names = "running statistics", "standing statistics of 100 batches of 16", "statistics of each 64"
    assert f"200 samples (EMA, seed 0, {names[1]})" in capsys.readouterr().out
    made = [r for r in _records(trained) if r["protocol"]["n_fake"] == 200]
    assert [r["protocol"]["batch_norm"] for r in made] == list(names)
    assert len({r["value"] for r in made}) == 3
    with pytest.raises(SystemExit):
        cli.main([*score, "--images", "digits", "--statistics", "batch"])
    assert "leave out --checkpoint, --seed, --psi and --statistics" in capsys.readouterr().err
