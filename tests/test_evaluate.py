"""`jaxgan evaluate` and `jaxgan compare`, on runs of a few steps."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import jaxgan.kinds.images
from experiments import gan
from jaxgan import cli, compare, evaluate, records, run, sampling, train
from jaxgan.config import InputError
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
    assert "600 samples (EMA, seed 0) and 1797 of digits; classifier v2" in text
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


def test_step_0_is_the_untrained_generator(trained):
    cli.main(["evaluate", str(trained), *FAST, "--metrics", "fd", "--checkpoint", "0"])
    untrained = sampling.load(trained, 0)
    assert untrained.step == 0
    again = sampling.initial_state(
        gan.make, untrained.config, run.example_of(records.read(trained))
    ).g.averaged
    np.testing.assert_array_equal(*(v["params"]["Dense_0"]["kernel"] for v in (untrained.variables, again)))
    assert _by_name(trained, 0)["fcd_digits"] > 100


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
    assert "agreement needs images asked for by label" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="30 samples of 128 features"):
        cli.main(["evaluate", str(trained), *given, "--metrics", "fd", "--groups", "0"])
    assert f"30 samples (images of folder:{tmp_path / 'set'} " in capsys.readouterr().out


def test_a_plan_asks_each_space_for_what_is_named_after_it(trained):
    data = run.dataset(records.read(trained))

    def asked(metrics, n=100, conditional=True):
        options = jaxgan.kinds.images.Options(metrics=tuple(metrics), features=("classifier", "raw"))
        return [
            found for _, found in jaxgan.kinds.images.plan(data, data, options, n=n, conditional=conditional)
        ]

    assert asked(["agreement", "fd"]) == [["agreement", "fd"], ["fd"]]
    assert asked(["agreement"]) == [["agreement"]]
    every = ["fd", "kd", "precision_recall", "density_coverage"]
    assert asked([]) == [[*every, "memorisation", "diversity", "agreement"], every]
    assert asked([], n=3, conditional=False) == [["fd", "kd", "memorisation", "diversity"], ["fd", "kd"]]


@pytest.fixture(scope="module")
def three(made, tmp_path_factory):
    """A run, the same with all scores halved, and one scored by fewer samples."""
    root = tmp_path_factory.mktemp("three")
    a, b, c = (shutil.copytree(made, root / name) for name in "abc")
    known = json.loads((b / "scores.json").read_text())
    for record in known["scores"]:
        record["value"] /= 2
        record["interval"] = [x / 2 for x in record["interval"]]
    (b / "scores.json").write_text(json.dumps(known))
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
    gaps = [abs(score.value - 1) for _, _, score in ranked]
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
            "agreement needs images asked for by label",
        ),
        (["evaluate", "RUN", "--features", "clasifier"], "did you mean 'classifier'"),
        (["evaluate", "RUN", "--checkpoint", "15"], "no checkpoint of step 15, but of [10, 20]"),
        (["evaluate", "RUN", "--checkpoint", "worst"], "--checkpoint 'worst': last, best, all, or a step"),
        (["evaluate", "RUN", "--n", "0"], "--n 0: it must be at least 1"),
        (
            ["evaluate", "RUN", "--n", "3", "--metrics", "precision_recall"],
            "must have at least 4 rows, not 3",
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
