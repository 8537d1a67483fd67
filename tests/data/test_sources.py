import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxgan.config import InputError
from jaxgan.data import load, shapes


def _save(path, size=(8, 8), mode="L", value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("L", "I;16", "CMYK", "1") else (value, 0, 255)).save(path)


def _labelled(label, **more):
    more = {name: np.array(x) for name, x in more.items()}
    return {"image": np.zeros((3, 8, 8), np.uint8), "label": np.array(label), **more}


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    data = load("digits", image_size=8)
    assert data["image"].shape == (1797, 8, 8, 1)
    assert data["image"].dtype == np.uint8
    np.testing.assert_array_equal(data["label"], load_digits().target)
    np.testing.assert_allclose(data["image"][..., 0] / 255 * 16, load_digits().images, atol=0.04)
    assert data.classes == tuple("0123456789")
    assert load("digits", image_size=32)["image"].shape == (1797, 32, 32, 1)
    assert load("digits", image_size=16, channels=3)["image"].shape == (1797, 16, 16, 3)


def test_shapes_are_of_the_kinds_that_they_are_drawn_as():
    data = load("shapes:40", image_size=16)
    assert data["image"].shape == (40, 16, 16, 3)
    assert data.classes == ("circle", "square", "triangle", "star")
    seen = jax.jit(shapes.read)(data["image"].astype(np.float32) / 255)
    np.testing.assert_array_equal(data["label"], seen.kind[:, 0])
    assert len(np.unique(data["label"])) == 4
    assert load("shapes:40", image_size=16, channels=1)["image"].shape == (40, 16, 16, 1)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("shapes:0", {"image_size": 16}, "--data shapes:0: shapes, or shapes:N of them, 1 or more"),
        ("shapes", {"image_size": 8}, "drawn with 16 pixels a side or more, not 8"),
        ("shapes", {"image_size": 16, "split": "test"}, "shapes has no splits"),
    ],
)
def test_shapes_that_are_not_drawn(spec, options, message):
    with pytest.raises(InputError, match=message):
        load(spec, **options)


def test_the_digest_is_the_contents():
    a, b = load("digits", image_size=8), load("digits", image_size=8)
    assert a.digest == b.digest
    b = load("digits", image_size=8)
    b["image"][0, 0, 0, 0] ^= 1
    assert a.digest != b.digest


def test_tfds(tmp_path):
    with tfds.testing.mock_data(num_examples=12):
        with pytest.raises(InputError, match="not prepared as array_record") as e:
            load("tfds:mnist", image_size=28, data_dir=str(tmp_path))
    assert "'prepare' extra" in str(e.value)
    assert f"tfds.builder('mnist', data_dir={str(tmp_path)!r}, file_format='array_record')" in str(e.value)
    for name, message in [
        ("fashion_mnst", "no set of that name; did you mean 'fashion_mnist'"),
        ("mnist:9.9.9", "TFDS cannot make it"),
        ("mnist/foo", "TFDS cannot make it"),
        ("Not A Name", "TFDS cannot make it"),
    ]:
        with pytest.raises(InputError, match=message) as e:
            load(f"tfds:{name}", image_size=28)
        assert "\n" not in str(e.value)


@pytest.fixture
def prepared(tmp_path):
    """A small TFDS image set, written as array_record without TensorFlow."""

    class TinyShapes(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {
                        "image": tfds.features.Image(shape=(6, 6, 1)),
                        "label": tfds.features.ClassLabel(names=["dark", "light"]),
                    }
                ),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(9):
                path = tmp_path / f"{i}.png"
                _save(path, (6, 6), value=20 * i)
                yield i, {"image": str(path), "label": int(i > 4)}

    builder = TinyShapes(data_dir=tmp_path, file_format="array_record")
    builder.download_and_prepare()
    return tmp_path


def test_a_prepared_tfds_set_is_read_without_tensorflow(prepared):
    data = load("tfds:tiny_shapes", image_size=12, data_dir=str(prepared))
    assert data["image"].shape == (9, 12, 12, 1)
    assert sorted(data["image"][:, 5, 5, 0].tolist()) == [20 * i for i in range(9)]
    np.testing.assert_array_equal(data["label"], data["image"][:, 0, 0, 0] > 80)
    assert data.classes == ("dark", "light")
    with pytest.raises(InputError, match="--split 'validation': tfds:tiny_shapes has train"):
        load("tfds:tiny_shapes", image_size=12, split="validation", data_dir=str(prepared))
    with pytest.raises(InputError, match=r"tiny_shapes has no examples in train\[:0\]"):
        load("tfds:tiny_shapes", image_size=12, split="train[:0]", data_dir=str(prepared))
    part = load("tfds:tiny_shapes", image_size=12, split="train[1:3]", data_dir=str(prepared))
    whole = load("tfds:tiny_shapes", image_size=12, data_dir=str(prepared))
    np.testing.assert_array_equal(part["image"], whole["image"][1:3])


def test_folder_with_and_without_classes(tmp_path):
    for name in ("cat/a.png", "cat/b.PNG", "dog/deep/c.jpg"):
        _save(tmp_path / name, mode="RGB")
    data = load(f"folder:{tmp_path}", image_size=8)
    assert data["image"].shape == (3, 8, 8, 3)
    assert data.classes == ("cat", "dog")
    assert data["label"].tolist() == [0, 0, 1]
    flat = load(f"folder:{tmp_path / 'cat'}", image_size=8, channels=1)
    assert flat["image"].shape == (2, 8, 8, 1)
    assert flat.get("label") is None
    assert "label" not in flat.arrays


def test_a_wide_image_is_cropped_to_its_middle(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = 200
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert (load(f"folder:{tmp_path}", image_size=4)["image"] == 200).all()


def test_one_class_is_no_label(tmp_path):
    """As the one sub-folder of a set of faces."""
    _save(tmp_path / "faces" / "a.png")
    data = load(f"folder:{tmp_path}", image_size=8)
    assert data.get("label") is None
    assert data.classes == ()


def test_a_folder_of_grey_and_coloured_images_is_coloured(tmp_path):
    _save(tmp_path / "a.png", value=70)
    _save(tmp_path / "b.png", mode="RGB")
    image = load(f"folder:{tmp_path}", image_size=4)["image"]
    assert image.shape == (2, 4, 4, 3)
    assert (image[0] == 70).all()


def test_npz(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", image=image, label=np.array([0, 2, 1, 2, 0]))
    data = load(f"npz:{tmp_path / 'a.npz'}", image_size=8)
    np.testing.assert_array_equal(data["image"], image)
    assert data.classes == ("0", "1", "2")
    np.savez(tmp_path / "b.npz", image=image[..., 0])
    grey = load(f"npz:{tmp_path / 'b.npz'}", image_size=8)
    np.testing.assert_array_equal(grey["image"], image[..., :1])
    assert grey.get("label") is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "has no images"),
        (lambda p: _save(p / "b.jpg", mode="CMYK"), "b.jpg: it is CMYK, .* convert it to RGB"),
        (lambda p: Image.new("F", (8, 8)).save(p / "b.tiff"), "b.tiff: its mode is F; convert it"),
        (lambda p: (p / "b.png").write_bytes(b"no image"), "1 of 1 images .* cannot be read .b.png: cannot"),
        (
            lambda p: (_save(p / "a.png"), _save(p / "c.png"), _save(p / "b.png", (8, 9))),
            r"2 images are 8x8 \(a.png\) and 1 images are 8x9 \(b.png\); make all images one size",
        ),
        (
            lambda p: (_save(p / "a.png"), _save(p / "x" / "b.png")),
            r"beside its sub-folders \(a.png",
        ),
    ],
)
def test_folders_that_will_not_do(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(InputError, match=message) as e:
        load(f"folder:{tmp_path}", image_size=8)
    assert "\n" not in str(e.value)


def test_a_truncated_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        InputError, match=r"1 of 1 images in .* cannot be read .cut.png: image file is truncated"
    ):
        load(f"folder:{tmp_path}", image_size=8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "no array 'image', but x"),
        ({"image": np.zeros((3, 8, 8))}, r"'image' is float64\[3, 8, 8\]; it must be uint8"),
        ({"image": np.zeros((0, 8, 8), np.uint8)}, "'image' is empty"),
        (_labelled([0, 1]), r"'label' is int64\[2\]; it must be one integer for each of 3 images"),
        (_labelled([0, -1, 2]), "'label' has -1; it must be one integer from 0 up for each image"),
        (_labelled([0.0, 1.0, 2.0]), "'label' is float64"),
        (_labelled(["a", "b", "c"]), "'label' is <U1"),
        (_labelled([True, False, True]), "'label' is bool"),
        (
            _labelled([[0], [1], [2]]),
            r"'label' is int64\[3, 1\]; it must be one integer for each of 3 images$",
        ),
        (_labelled(np.eye(3)), r"float64\[3, 3\].*; of a one-hot code take argmax\(1\)"),
        (
            _labelled([0, 3, 700000]),
            "goes up to 700000, and 1 has no image; number the 3 classes from 0 to 2, or",
        ),
        (_labelled([1, 2, 2**62]), "'label' goes up to 4611686018427387904, and 0 has no image"),
        (_labelled([0, 1, 2], classes=["a", "b"]), "'label' has 2, and there are 2 'classes'"),
        (_labelled([0, 1, 1], classes=["a", "a"]), "'classes' must be the classes' names, each another text"),
        (_labelled([0, 1, 1], classes=[1, 2]), "'classes' must be the classes' names, each another text"),
    ],
)
def test_npz_files_that_will_not_do(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        load(f"npz:{tmp_path / 'a.npz'}", image_size=8)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("digit", "'digit' is not one of digits, shapes, tfds:NAME.*did you mean 'digits'"),
        ("tfds:", "is not one of"),
        ("folder:/nowhere", "/nowhere is not a folder"),
        ("npz:/nowhere", "/nowhere is not a file"),
    ],
)
def test_unknown_sets(spec, message):
    with pytest.raises(InputError, match=message):
        load(spec, image_size=8)


def test_files_that_are_no_whole_npz(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (50, 8, 8), np.uint8)
    np.savez_compressed(tmp_path / "whole.npz", image=image)
    whole = (tmp_path / "whole.npz").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    np.save(tmp_path / "array.npy", image)
    for content in (b"hello", whole[: len(whole) // 2], flipped, (tmp_path / "array.npy").read_bytes()):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"cannot be read as an .npz file"):
            load(f"npz:{tmp_path / 'a.npz'}", image_size=8)


def test_sizes_and_channels_that_make_no_sense():
    with pytest.raises(InputError, match="--channels 2"):
        load("digits", image_size=8, channels=2)
    with pytest.raises(InputError, match="--image-size 0"):
        load("digits", image_size=0)


def test_the_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    theirs, ours = load_digits(), load("digits", image_size=8)
    np.testing.assert_array_equal(ours["image"][..., 0], (theirs.images * (255 / 16)).round())
    np.testing.assert_array_equal(ours["label"], theirs.target)
