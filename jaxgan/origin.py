"""Where the code of a run's method is, and whether it may be run: what comes with a folder is not."""

import ast
import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

import jaxgan
from jaxgan import cache
from jaxgan.config import InputError, is_name

KEPT = "method.py"  # the text of a method that is not installed, in the run's folder
PROJECT = Path(jaxgan.__file__).parents[1]  # where `experiments` lies as well
_importing: list[str] = []  # files that are being imported
_allowed: set[str] = set()  # digests of files that this process may run
_roots: set[str] = set()  # folders in which the user's own methods find what lies beside them


def digest(text: bytes | None) -> str | None:
    """Of a source text."""
    return None if text is None else hashlib.sha256(text).hexdigest()


def _spec_name(module: ModuleType) -> str:
    spec = getattr(module, "__spec__", None)
    return spec.name if spec is not None else module.__name__


def file_of(module: ModuleType) -> Path | None:
    """The module's file; None of what was typed into a session."""
    file = getattr(module, "__file__", None)
    return None if file is None or not Path(file).is_file() else Path(file).absolute()


def text_of(module: ModuleType) -> bytes | None:
    """The module's source; None of what was typed into a session."""
    file = file_of(module)
    return None if file is None else file.read_bytes()


@contextlib.contextmanager
def _not_from_here() -> Iterator[None]:
    """Without the folders that Python looks into of itself, the current one and the program's, and those
    beside the user's own methods."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    own = {os.getcwd(), *_roots, *([str(Path(main).absolute().parent)] if main else [])}
    own = {os.path.realpath(folder) for folder in own}
    before = list(sys.path)
    sys.path[:] = [folder for folder in before if os.path.realpath(folder) not in own]
    try:
        yield
    finally:
        sys.path[:] = before


def _spec(name: str) -> ModuleSpec | None:
    """Where Python finds a module; the packages that it is in are not imported, as `find_spec` would."""
    words, path, found = name.split("."), None, None
    for i in range(len(words)):
        if i and path is None:  # the one before is no package
            return None
        own = ".".join(words[: i + 1])
        finders = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
        found = next((spec for find in finders if (spec := find(own, path)) is not None), None)
        if found is None:
            return None
        path = found.submodule_search_locations
    return found


def _is_method(text: bytes) -> bool:
    """Whether a source defines Config and make, as far as can be seen without running it."""
    try:
        parsed = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    names = set()
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return {"Config", "make"} <= names


def _installed(name: str) -> Path | None:
    """The file of a module that is installed, or the project's own, by its name; None if it is neither."""
    if name == "__main__" or not all(map(is_name, name.split("."))):
        return None
    if name.startswith("experiments."):
        own = PROJECT.joinpath(*name.split(".")).with_suffix(".py")
        if own.is_file():
            return own
    with _not_from_here(), contextlib.suppress(ImportError, ValueError, AttributeError, KeyError):
        spec = _spec(name)
        if spec is not None and spec.origin is not None and Path(spec.origin).is_file():
            return Path(spec.origin).absolute()
    return None


def is_installed(module: ModuleType) -> bool:
    """Whether a new process finds it by its name, from wherever it is started."""
    name, file = _spec_name(module), file_of(module)
    found = _installed(name)
    return file is not None and found is not None and found.samefile(file)


def of(module: ModuleType) -> dict[str, str | None]:
    """Where a module is found again: its name, its file (None of what was typed) and its digest."""
    file = file_of(module)
    return {
        "module": _spec_name(module),
        "file": None if file is None else str(file),
        "digest": digest(text_of(module)),
    }


def _known() -> set[str]:
    """The digests and files that this user has run, or said to trust."""
    with contextlib.suppress(OSError):
        return set((cache.folder() / "trusted").read_text().split("\n"))
    return set()


def remember(text: bytes, file: Path | None) -> None:
    """Notes a source as the user's own: what he has run himself, or said to trust."""
    _allowed.add(digest(text))
    lines = [line for line in (digest(text), file and str(file)) if line and line not in _known()]
    if not lines:
        return
    with contextlib.suppress(OSError):  # without a cache it is trusted in this process alone
        cache.folder().mkdir(parents=True, exist_ok=True)
        with (cache.folder() / "trusted").open("a") as notes:
            notes.write("".join(f"{line}\n" for line in lines))


def _places(name: str, file: str | None, run: Path | None) -> list[Path]:
    """Where a method's file may be: at its place, in the current folder, beside the run, and in it."""
    found = [] if file is None else [Path(file)]
    if run is not None:
        words = name.split(".")
        inside = None
        if name != "__main__" and all(map(is_name, words)):
            inside = Path(*words).with_suffix(".py")
        names = {Path(file).name} if file else set()
        names |= {str(inside), inside.name} if inside else set()
        folders = [Path.cwd(), *Path(run).absolute().parents[:3]]
        found += [folder / own for folder in folders for own in sorted(names)]
        found.append(Path(run).absolute() / KEPT)
    return [place for place in dict.fromkeys(found) if place.is_file()]


def _chosen(experiment: dict, run: Path | None) -> tuple[Path, bytes]:
    """The file to take for a method that is not installed, and its text.

    Raises:
      InputError: if there is none.
    """
    name, file = experiment["module"], experiment["file"]
    for place in _places(name, file, run):
        text = place.read_bytes()
        if str(place) == file or digest(text) == experiment.get("digest"):
            return place, text
    if file is None:
        raise InputError(
            "the run's method was typed into a session: define its Config and make again, and go on there by "
            f"jaxgan.train.resume({str(run)!r}), or save them to a file"
        )
    raise InputError(f"the run's method is neither installed nor at {file}; go to the folder that it is in")


def _taken(experiment: dict) -> Path | None:
    """The installed method that a run's is taken for: not one that differs from a file that is still there.

    Raises:
      InputError: if what is installed by its name is no method.
    """
    name, file = experiment["module"], experiment["file"]
    if (place := _installed(name)) is None:
        return None
    if not _is_method(place.read_bytes()):
        raise InputError(f"the run's method is said to be {name}, and {place} has no Config and make")
    differs = digest(place.read_bytes()) != experiment.get("digest")
    return place if not differs or file is None or place == Path(file) or not Path(file).is_file() else None


def trust(experiment: dict, run: Path) -> None:
    """Lets a run's own code be executed, now and later: the user has read it."""
    if experiment["module"] is not None and _taken(experiment) is None:
        place, text = _chosen(experiment, run)
        if digest(text) not in _allowed | _known():
            print(f"{place} is trusted from now on, as it is", file=sys.stderr)
        remember(text, None)


def check_wanted() -> None:
    """Raises InputError where a training is started by the import of a run's own file."""
    if _importing:
        raise InputError(
            f"{_importing[-1]} trains when it is imported: put what starts it under "
            "`if __name__ == '__main__':`"
        )


def _here(experiment: dict) -> ModuleType | None:
    """The method's module, if this process has it already."""
    name, file = experiment["module"], experiment["file"]
    for module in (sys.modules["__main__"], sys.modules.get(name)):
        if module is None or not (hasattr(module, "Config") and hasattr(module, "make")):
            continue
        own = of(module)
        same_file = own["file"] == file if file is not None else own["file"] is None and name == "__main__"
        if same_file or own["digest"] == experiment.get("digest") is not None:
            return module
    return None


def module(experiment: dict, run: Path | None = None) -> ModuleType:
    """A run's method, as a module.

    Args:
      experiment: as `of`.
      run: the run's folder.

    Raises:
      InputError: if it is not found, is not to be run without the user's word, or cannot be imported.
    """
    name, file = experiment["module"], experiment["file"]
    if name is None:
        raise InputError("this run was made by jaxgan.fit: give its game, jaxgan.load(path, gan=gan)")
    if (found := _here(experiment)) is not None:
        return _told(found, experiment)
    if (place := _taken(experiment)) is not None:
        return _told(_import(name, place), experiment)
    place, text = _chosen(experiment, run)
    known = _known()
    if digest(text) not in _allowed | known and str(place) not in known:
        raise InputError(
            f"the run's method is {place}, code that was not run here before: read it, and if you trust it "
            "add --trust (in Python trust=True)"
        )
    if place.name == KEPT and run is not None and place.parent == Path(run).absolute():
        print(f"{file or name} is not there: the copy in {place} is used", file=sys.stderr)
    return _told(_import(name, place), experiment)


def _told(found: ModuleType, experiment: dict) -> ModuleType:
    """The module; a line says, once, if it is not the code that the run was trained by."""
    own = of(found)
    change = own["digest"], experiment.get("digest")
    if change[0] != change[1] and change not in _changes:
        _changes.add(change)
        print(f"{own['file']} has changed since the run began", file=sys.stderr)
    return found


_changes: set = set()  # that were told


def imported(place: Path) -> ModuleType:
    """The module of a file that the user names."""
    remember(place.read_bytes(), place)
    return _import(place.stem, place)


class _AsItIs(SourceFileLoader):
    """Compiles a source anew: what Python kept of it in a folder beside it may be of another text."""

    def get_code(self, fullname: str):
        return self.source_to_code(self.get_data(self.path), self.path)


def _import(name: str, place: Path) -> ModuleType:
    """The module of a file, which finds what lies beside it if it is the user's own."""
    words = name.split(".") if name != "__main__" else [place.stem]
    in_place = list(place.with_suffix("").parts[-len(words) :]) == words
    known = str(place) in _known() or _installed(name) == place
    by_name = known and in_place and len(words) > 1
    own = name if by_name else f"_method_{digest(str(place).encode())[:8]}"
    if own in sys.modules and file_of(sys.modules[own]) == place:
        return sys.modules[own]
    root = str(place.parents[len(words) - 1] if in_place else place.parent)
    if known and root not in sys.path:
        sys.path.insert(0, root)
        _roots.add(root)
    _importing.append(str(place))
    try:
        if by_name:
            found = importlib.import_module(name)
            if file_of(found) == place:
                return found
        spec = importlib.util.spec_from_file_location(own, place, loader=_AsItIs(own, str(place)))
        found = importlib.util.module_from_spec(spec)
        sys.modules[own] = found
        spec.loader.exec_module(found)
        return found
    except InputError:
        sys.modules.pop(own, None)
        raise
    except Exception as e:
        sys.modules.pop(own, None)
        reason = f"{type(e).__name__}: {e}".partition("\n")[0]
        raise InputError(f"{place} cannot be imported ({reason}); go to the folder that it is in") from e
    finally:
        _importing.pop()
