"""The judge: the same to the last bit wherever it is trained, and no longer than its set needs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import dcgan
from jaxgan.config import InputError
from jaxgan.data.sources import image_set
from jaxgan.kinds.images import images
from jaxgan.metrics import judge


def _set(n, side=8, channels=1, classes=3):
    """Images whose brightness tells the class."""
    rng = np.random.default_rng(n)
    label = np.arange(n) % classes
    image = rng.integers(0, 60, (n, side, side, channels)) + 60 * label[:, None, None, None]
    return image_set("bright", image.astype(np.uint8), label, tuple("abcdef"[:classes]))


def _gradients(orders, activation, weight):
    """The gradient of one batch in some orders of its examples."""
    data = _set(64, side=12)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "_activation", activation)
        patch.setattr(judge, "_weight", weight)
        params, of = judge._initial((12, 12, 1), 3), jax.jit(lambda *x: judge._gradient(*x))
        return jax.device_get([of(params, data["image"][i], data["label"][i]) for i in orders])


def test_no_order_of_a_sum_changes_a_bit():
    """And without the rounding it does."""
    orders = [np.random.default_rng(i).permutation(64) for i in range(3)]
    one, *others = _gradients(orders, judge._activation, judge._weight)
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, one, other)
    plain, other = _gradients(orders[:2], lambda x: x, lambda w: w)
    assert all(jax.tree.leaves(jax.tree.map(lambda x, y: (x != y).any(), plain, other)))
    for exact, rounded in zip(jax.tree.leaves(plain), jax.tree.leaves(one), strict=True):
        assert np.linalg.norm(rounded - exact) < 0.05 * np.linalg.norm(exact)


def _named():
    """Of a judge of 25 steps."""
    judge.MOST = judge.FEWEST = 25
    return judge.train(_set(300, side=12, classes=5)).name


@pytest.mark.long
def test_the_number_of_cores_and_the_kind_of_processor_do_not_matter(monkeypatch):
    """All cores with fused multiplication and vectors, against one with neither."""
    monkeypatch.setattr(judge, "FEWEST", judge.FEWEST)  # put back afterwards
    monkeypatch.setattr(judge, "MOST", judge.MOST)
    flags = {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2", "JAX_COMPILATION_CACHE_DIR": ""}
    one = f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); import test_judge as t"
    with subprocess.Popen(
        [sys.executable, "-c", f"{one}; print(t._named())"],
        env=os.environ | flags,
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        here, (there, _) = _named(), process.communicate(timeout=120)
    assert process.returncode == 0
    assert there.split("\n")[-2] == here
    assert here.startswith(f"classifier v{judge.VERSION} ")


@pytest.mark.parametrize(("n", "steps"), [(48, 200), (1797, 350), (60_000, 800)])
def test_it_is_trained_as_long_as_a_set_needs(n, steps, monkeypatch):
    """In a bar of so many steps."""
    seen = []

    def bar(rates, **options):
        seen.append(len(rates))
        raise KeyboardInterrupt

    monkeypatch.setattr(judge, "tqdm", bar)
    few = _set(48)
    data = image_set("many", np.broadcast_to(few["image"][:1], (n, 8, 8, 1)), np.arange(n) % 3, tuple("abc"))
    with pytest.raises(KeyboardInterrupt):
        judge.train(data)
    assert seen == [steps]


@pytest.mark.parametrize(("side", "channels"), [(1, 1), (7, 3)])
def test_images_of_any_size_are_taken(side, channels, monkeypatch):
    monkeypatch.setattr(judge, "FEWEST", 40)
    data = _set(40, side, channels)
    found = judge.train(data)
    logits, features = judge.judge(found, data["image"])
    assert logits.shape == (40, 3)
    assert features.shape == (40, judge.HIDDEN)
    assert (logits.argmax(1) == data["label"]).mean() > 0.8


def test_a_signal_ends_its_training():
    class Now(Exception):
        pass

    def stop(signum, frame):
        raise Now

    data = _set(3000, side=32)
    old = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 2.0)
        began = time.monotonic()
        with pytest.raises(Now):
            judge.train(data)
        assert time.monotonic() - began < 12  # of a minute: a compile, and the step under way
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.fixture
def untrained(monkeypatch):
    """Judges that are made and not trained."""

    def train(data, seed):
        params = judge._initial(data["image"].shape[1:], len(data.classes), seed)
        return judge.Judge(jax.tree.map(np.float32, params), len(data.classes), 0.5, data.digest)

    monkeypatch.setattr(judge, "train", train)


def test_a_file_is_shared(untrained, tmp_path, monkeypatch, capsys):
    data, file = _set(60), tmp_path / "sub" / "classifier"
    made = judge.shared(data, file)
    assert "written to" in capsys.readouterr().out
    monkeypatch.setattr(judge, "train", lambda data, seed: pytest.fail("trained again"))
    assert judge.shared(data, file).name == made.name
    other = _set(61)
    assert judge.shared(other, file).name == made.name  # of the data that it learned
    assert f"learned other data than bright: {data.digest}, not {other.digest}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (_set(60, classes=4), "is not of 4 classes of 8x8x1 images, as bright has; give another file"),
        (_set(60, side=16), "is not of 3 classes of 16x16x1 images"),
        (_set(60, channels=3), "is not of 3 classes of 8x8x3 images"),
    ],
)
def test_a_file_of_other_images_is_refused(untrained, other, told, tmp_path):
    judge.shared(_set(60), tmp_path / "c")
    with pytest.raises(InputError, match=told):
        judge.shared(other, tmp_path / "c")


def test_the_digits_own_came_along_and_is_what_training_makes(monkeypatch, tmp_path):
    data = images.load(dcgan.Config(), None)  # as the first command of all has them
    with monkeypatch.context() as patch:
        patch.setattr(judge, "train", lambda data, seed: pytest.fail("trained"))
        known = judge.cached(data)
        patch.setattr(judge, "SHIPPED", tmp_path)
        with pytest.raises(pytest.fail.Exception, match="trained"):
            judge.cached(data)
    trained = judge.train(data)
    jax.tree.map(np.testing.assert_array_equal, trained.params, known.params)
    assert (trained.name, trained.accuracy) == (known.name, known.accuracy)


@pytest.mark.parametrize("content", [b"", b"x", b"\x80", b"\x81\xa1a\x01", None])
def test_a_damaged_file_is_told(content, tmp_path):
    file = tmp_path / "c"
    file.mkdir() if content is None else file.write_bytes(content)
    told = "Is a directory" if content is None else "holds no classifier of version"
    with pytest.raises(InputError, match=f"--features-file .*c: .*{told}") as e:
        judge.shared(_set(60), file)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(("n", "told"), [(1, "has one image"), (None, "has no labels to train a judge on")])
def test_a_set_that_teaches_nothing_is_told(n, told):
    data = image_set("plain", np.zeros((4, 8, 8, 1), np.uint8)) if n is None else _set(n)
    with pytest.raises(InputError, match=told):
        judge.train(data)


def test_another_seed_is_another_classifier_with_a_file_of_its_own(untrained, monkeypatch, tmp_path):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    data = _set(24)
    own, other = judge.cached(data), judge.cached(data, seed=1)
    assert own.name != other.name
    assert len(list((tmp_path / "judges").iterdir())) == 2
    monkeypatch.setattr(judge, "train", lambda data, seed: pytest.fail("trained again"))
    assert [judge.cached(data).name, judge.cached(data, seed=1).name] == [own.name, other.name]


def test_maps_are_those_on_the_way_to_the_logits():
    data = _set(6)
    params = jax.tree.map(np.float32, judge._initial((8, 8, 1), 3))
    x = judge.maps(params, data["image"].astype(np.float32) / np.float32(127.5) - 1)
    assert x.shape == (6, 2, 2, 64)
    hidden = np.maximum(np.asarray(x).reshape(6, -1) @ params["hidden"]["w"] + params["hidden"]["b"], 0)
    _, features = judge.judge(judge.Judge(params, 3, 0.0, ""), data["image"])
    np.testing.assert_allclose(hidden, features, rtol=1e-4, atol=1e-4)
