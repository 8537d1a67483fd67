"""Folders of images are read as a viewer shows them, or a line says what was done instead."""

import io
import json
import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from jaxgan.config import InputError
from jaxgan.data import files, load, store

RNG = np.random.default_rng(0)


def _save(path, pixels=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((8, 8), 100, np.uint8) if pixels is None else pixels
    Image.fromarray(pixels).save(path, **options)


def _told(root, size=8, **options):
    data = load(f"folder:{root}", image_size=size, **options)
    return data, " | ".join(data.remarks)


class TestPixels:
    def test_what_is_transparent_is_white(self, tmp_path):
        """Noise under alpha 0, by which a viewer shows nothing of it; alpha between is a mixture."""
        pixels = RNG.integers(0, 256, (8, 8, 4), np.uint8)
        pixels[..., 3] = 0
        pixels[2:6, 2:6, 3] = 255
        pixels[0, 0] = 200, 100, 0, 51  # a fifth
        _save(tmp_path / "a.png", pixels)
        data, told = _told(tmp_path)
        expected = np.full((8, 8, 3), 255, np.uint8)
        expected[2:6, 2:6] = pixels[2:6, 2:6, :3]
        expected[0, 0] = 244, 224, 204
        np.testing.assert_array_equal(data["image"][0], expected)
        assert "1 of 1 images are transparent in parts, and taken as on white" in told

    def test_opaque_alpha_is_no_remark(self, tmp_path):
        pixels = RNG.integers(0, 256, (8, 8, 4), np.uint8)
        pixels[..., 3] = 255
        _save(tmp_path / "a.png", pixels)
        data, told = _told(tmp_path)
        np.testing.assert_array_equal(data["image"][0], pixels[..., :3])
        assert told == ""

    @pytest.mark.parametrize("mode", ["LA", "P", "PA", "L", "RGB"])
    def test_transparency_of_every_sort(self, mode, tmp_path):
        """Half of each image is transparent, the other of one brightness."""
        grey = np.full((8, 8), 60, np.uint8)
        if mode == "LA":
            _save(
                tmp_path / "a.png",
                np.stack([grey, np.where(np.arange(8) < 4, 0, 255) + 0 * grey], -1).astype(np.uint8),
            )
        else:
            image = Image.new("L", (8, 8), 60)
            image.paste(61, (0, 0, 4, 8))
            if mode in ("P", "PA"):
                image = image.convert("P")
            elif mode == "RGB":
                image = image.convert("RGB")
            image.save(tmp_path / "a.png", transparency={"RGB": (61, 61, 61)}.get(mode, 61))
        data, told = _told(tmp_path)
        assert (data["image"][0, :, :4] == 255).all()
        assert (data["image"][0, :, 4:] == 60).all()
        assert data["image"].shape[-1] == (1 if mode in ("L", "LA") else 3)
        assert "transparent" in told

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        orientation=st.integers(1, 8),
        wide=st.booleans(),
        ending=st.sampled_from(["png", "jpg", "webp", "tiff"]),
    )
    def test_exif_turns_an_image(self, orientation, wide, ending, tmp_path):
        """What the eight orientations mean, by numpy: 5 to 8 exchange the sides."""
        shown = np.kron(np.array([[0, 60, 120], [180, 255, 30]], np.uint8), np.ones((16, 16), np.uint8))
        shown = shown if wide else shown.T
        stored = {
            1: lambda x: x,
            2: lambda x: x[:, ::-1],
            3: lambda x: x[::-1, ::-1],
            4: lambda x: x[::-1],
            5: lambda x: x.T,
            6: lambda x: np.rot90(x, 1),
            7: lambda x: x[::-1, ::-1].T,
            8: lambda x: np.rot90(x, -1),
        }[orientation](shown)
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        options = {"quality": 95} if ending == "jpg" else {"lossless": True} if ending == "webp" else {}
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(stored)).save(
            file, {"jpg": "jpeg"}.get(ending, ending), exif=exif, **options
        )
        with Image.open(file) as image:
            pixels = np.asarray(files.viewed(image).convert("L"))
        assert pixels.shape == shown.shape
        assert np.abs(pixels.astype(int) - shown).max() < 12

    def test_exif_counts_in_the_size_check(self, tmp_path):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        _save(tmp_path / "a.png", np.full((8, 12), 7, np.uint8))
        _save(tmp_path / "b.png", np.full((12, 8), 7, np.uint8), exif=exif)
        data, told = _told(tmp_path)
        assert len(data["image"]) == 2
        assert "1 of 2 images are turned upright, as their EXIF has it" in told

    def test_sixteen_bits_are_scaled(self, tmp_path):
        levels = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
        _save(tmp_path / "a.png", levels)
        data, _ = _told(tmp_path)
        np.testing.assert_allclose(data["image"][0, ..., 0], levels / 257, atol=0.51)

    def test_the_first_frame_is_taken(self, tmp_path):
        frames = [Image.new("L", (8, 8), level) for level in (40, 200)]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        data, told = _told(tmp_path)
        assert (data["image"] == 40).all()
        assert "1 of 1 images have several frames, of which the first is taken" in told

    @pytest.mark.parametrize(
        ("shape", "size", "told"),
        [
            ((32, 48), 32, "images of 48x32 are cropped to their middle 32x32, which loses 33% of each"),
            (
                (40, 32),
                16,
                (
                    "images of 32x40 are cropped to their middle 32x32, which loses 20% of each, "
                    "and resized to 16x16"
                ),
            ),
            ((8, 8), 16, "images of 8x8 are resized to 16x16"),
            ((8, 8), 8, ""),
        ],
    )
    def test_what_is_cut_and_resized_is_told(self, shape, size, told, tmp_path):
        _save(tmp_path / "a.png", np.zeros(shape, np.uint8))
        assert _told(tmp_path, size)[1] == told


class TestFiles:
    def test_what_is_hidden_is_no_class_and_no_image(self, tmp_path):
        for name in ("cat/a.png", "dog/b.png", ".ipynb_checkpoints/a.png", "cat/.ipynb_checkpoints/a.png"):
            _save(tmp_path / name)
        (tmp_path / "cat" / "._a.png").write_bytes(b"\0\5\x16\7")
        for name in ("__MACOSX/._a.png", "dog/Thumbs.db", "dog/.DS_Store", "@eaDir/a.png"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(b"x")
        data, told = _told(tmp_path)
        assert len(data["image"]) == 2
        assert data.classes == ("cat", "dog")
        assert "left out as hidden: 7 (" in told

    def test_what_is_no_image_is_counted_by_its_ending(self, tmp_path):
        for name in ("a.png", "b.JPG", "c.heic", "d.heic", "e.txt", "LICENSE", "f.h5", "g.jp2"):
            if name[-3:] in ("png", "JPG", "jp2"):
                _save(tmp_path / name)
            else:
                (tmp_path / name).write_bytes(b"x")
        data, told = _told(tmp_path)
        assert len(data["image"]) == 3
        assert told.startswith("left out as no images: 2 .heic, 1 ")
        assert set(told.partition(": ")[2].split(", ")) == {"2 .heic", "1 .txt", "1 no ending", "1 .h5"}

    def test_only_other_files(self, tmp_path):
        (tmp_path / "a.heic").write_bytes(b"x")
        with pytest.raises(InputError, match="has no images, but 1 .heic"):
            load(f"folder:{tmp_path}", image_size=8)

    def test_links_are_followed_and_do_not_go_round(self, tmp_path):
        _save(tmp_path / "elsewhere" / "a.png", np.full((8, 8), 1, np.uint8))
        _save(tmp_path / "elsewhere" / "b.png", np.full((8, 8), 2, np.uint8))
        root = tmp_path / "root"
        root.mkdir()
        os.symlink(tmp_path / "elsewhere", root / "one")
        (root / "two").mkdir()
        os.symlink(tmp_path / "elsewhere" / "b.png", root / "two" / "c.png")
        os.symlink(root, root / "two" / "round")
        data, _ = _told(root)
        assert data.classes == ("one", "two")
        assert sorted(data["image"][:, 0, 0, 0].tolist()) == [1, 2, 2]

    def test_classes_and_files_are_in_natural_order(self, tmp_path):
        for i in range(1, 13):
            _save(tmp_path / str(i) / "x.png", np.full((8, 8), i, np.uint8))
        data, _ = _told(tmp_path)
        assert data.classes == tuple(str(i) for i in range(1, 13))
        np.testing.assert_array_equal(data["label"] + 1, data["image"][:, 0, 0, 0])

    def test_the_first_level_makes_the_classes(self, tmp_path):
        for name in ("a/x.png", "a/b/y.png", "b/a/z.png"):
            _save(tmp_path / name)
        data, told = _told(tmp_path)
        assert data.classes == ("a", "b")
        assert data["label"].tolist() == [0, 0, 1]
        assert "2 images lie deeper; the first level of folders makes the classes" in told

    def test_a_class_without_an_image(self, tmp_path):
        _save(tmp_path / "a" / "x.png")
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "x.heic").write_bytes(b"x")
        with pytest.raises(InputError, match="the class b has no image; put some there, or remove it"):
            load(f"folder:{tmp_path}", image_size=8)

    def test_several_that_cannot_be_read_are_counted(self, tmp_path):
        _save(tmp_path / "a.png")
        (tmp_path / "b.png").write_bytes(b"")
        (tmp_path / "c.jpg").write_bytes(b"x" * 100)
        with pytest.raises(
            InputError, match=r"2 of 3 images in .* cannot be read \(b.png: .*\); repair or remove"
        ):
            load(f"folder:{tmp_path}", image_size=8)

    def test_a_set_that_has_no_room(self, tmp_path):
        _save(tmp_path / "a.png")
        for spec in (f"folder:{tmp_path}", "digits"):
            with pytest.raises(InputError, match="images of .* in 1000000x1000000 would take .* of memory"):
                load(spec, image_size=10**6)

    def test_the_number_of_images_counts(self, tmp_path, monkeypatch):
        """Room for an image is not room for the set, in memory or on the disk; nothing is made before."""
        for i in range(3):
            _save(tmp_path / f"{i}.png")
        monkeypatch.setattr("jaxgan.memory.free", lambda device=None: 10**9)
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**6))
        monkeypatch.setattr("jaxgan.data.sources.Fit.__call__", lambda self, image: pytest.fail("made"))
        with pytest.raises(
            InputError,
            match="3 images of folder.* would take 1.12 GiB: 954 MiB of memory and 977 KiB of .* are",
        ):
            load(f"folder:{tmp_path}", image_size=20000)
        with pytest.raises(InputError, match="1797 images of digits in 1000x1000 would take"):
            load("digits", image_size=1000)


class TestSplits:
    @pytest.fixture
    def root(self, tmp_path):
        for split, level in (("train", 1), ("test", 2)):
            for name in ("cat", "dog"):
                _save(tmp_path / split / name / "x.png", np.full((8, 8), level, np.uint8))
        return tmp_path

    def test_the_training_images_alone_are_trained_on(self, root):
        data, told = _told(root)
        assert (data["image"] == 1).all()
        assert data.classes == ("cat", "dog")
        assert told == "its folder train is read, and not test"
        assert data.name.endswith("/train")

    def test_another_is_asked_for(self, root):
        assert (_told(root, split="test")[0]["image"] == 2).all()
        with pytest.raises(InputError, match="--split validation: folder:.* has test, train"):
            load(f"folder:{root}", image_size=8, split="validation")

    def test_a_class_called_train_is_a_class(self, tmp_path):
        for name in ("train", "bus"):
            _save(tmp_path / name / "x.png")
        data, _ = _told(tmp_path)
        assert data.classes == ("bus", "train")
        with pytest.raises(InputError, match="--split test: folder:.* has no splits"):
            load(f"folder:{tmp_path}", image_size=8, split="test")

    @pytest.mark.parametrize("spec", ["digits", "npz:x.npz"])
    def test_sets_without_splits(self, spec):
        with pytest.raises(InputError, match=f"--split test: {spec} has no splits; sets of TFDS have"):
            load(spec, image_size=8, split="test")


class TestNpz:
    def test_names_of_classes(self, tmp_path):
        image = RNG.integers(0, 256, (3, 8, 8, 3), np.uint8)
        path = tmp_path / "a.npz"
        np.savez(path, image=image, label=[0, 2, 2], classes=["a", "b", "c"], caption=["x", "y", "z"])
        data = load(f"npz:{path}", image_size=8)
        assert data.classes == ("a", "b", "c")
        assert data["label"].tolist() == [0, 2, 2]
        assert data.remarks == ("arrays that are not used: caption",)

    def test_a_header_that_claims_too_much(self, tmp_path):
        """931 GiB of zeros in a file of a few hundred bytes; and one that truly would be as large."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)}
        )
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("image.npy", header.getvalue() + b"\0" * 100)
        with pytest.raises(InputError, match="cannot be read as an .npz file .image.npy has another length"):
            load(f"npz:{tmp_path / 'a.npz'}", image_size=8)

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_one_that_is_larger_than_the_memory(self, tmp_path, monkeypatch, save):
        """It is read where it lies; if it is compressed into a file, for which the disk may be too small."""
        image = RNG.integers(0, 256, (100, 8, 8, 3), np.uint8)
        save(tmp_path / "a.npz", image=image, label=np.arange(100) % 3, point=np.zeros((4, 2), np.float32))
        plain = load(f"npz:{tmp_path / 'a.npz'}", image_size=8)
        monkeypatch.setattr("jaxgan.memory.free", lambda device=None: 1000)
        found = load(f"npz:{tmp_path / 'a.npz'}", image_size=8)
        assert store.in_file(found["image"])
        assert not store.in_file(plain["image"])
        assert found.digest == plain.digest
        assert (
            "18.8 KiB of images are too many for the memory: they are in a file while this runs"
            in found.remarks
        )
        monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**4))
        if save is np.savez:
            assert load(f"npz:{tmp_path / 'a.npz'}", image_size=8).digest == plain.digest
            return
        with pytest.raises(
            InputError, match="'image' of .*a.npz would take 18.8 KiB: 1e.03 bytes of memory and"
        ):
            load(f"npz:{tmp_path / 'a.npz'}", image_size=8)

    def test_a_folder_of_several_is_one_set(self, tmp_path):
        image, label = RNG.integers(0, 256, (30, 8, 8, 1), np.uint8), np.arange(30) % 3
        for i, rows in enumerate(np.array_split(np.arange(30), 12)):  # 10 comes after 2
            np.savez(tmp_path / f"part{i}.npz", image=image[rows], label=label[rows], classes=["a", "b", "c"])
        data = load(f"npz:{tmp_path}", image_size=8)
        np.testing.assert_array_equal(data["image"], image)
        np.testing.assert_array_equal(data["label"], label)
        assert data.classes == ("a", "b", "c")
        np.savez(tmp_path / "part3.npz", image=image[:2], label=label[:2], classes=["a", "b", "d"])
        with pytest.raises(InputError, match="have several lists of 'classes'; make them one"):
            load(f"npz:{tmp_path}", image_size=8)
        np.savez(tmp_path / "part3.npz", image=image[:2])
        with pytest.raises(InputError, match="part3.npz and .*part0.npz have other arrays"):
            load(f"npz:{tmp_path}", image_size=8)
        with pytest.raises(InputError, match="is not a file, and holds none"):
            load(f"npz:{tmp_path.parent}", image_size=8)

    def test_objects_are_left_alone(self, tmp_path):
        image = np.zeros((3, 8, 8), np.uint8)
        np.savez(tmp_path / "a.npz", image=image, meta=np.array({"a": 1}, object))
        assert len(load(f"npz:{tmp_path / 'a.npz'}", image_size=8)["image"]) == 3
        np.savez(tmp_path / "b.npz", image=np.array([image, 1], object))
        with pytest.raises(InputError, match="has no array 'image'"):
            load(f"npz:{tmp_path / 'b.npz'}", image_size=8)


def test_one_class_is_told(tmp_path):
    _save(tmp_path / "faces" / "a.png")
    data, told = _told(tmp_path)
    assert "label" not in data.arrays
    assert told == "all images are of one class, faces: a set of one class has no labels"


def test_remarks_are_not_part_of_what_is_recorded(tmp_path):
    _save(tmp_path / "a.png")
    data = load(f"folder:{tmp_path}", image_size=4)
    assert data.remarks
    assert not data.facts
    assert json.dumps(dict(data.facts))
