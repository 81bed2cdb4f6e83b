"""Whisper's models: their names, their folders, and how they are downloaded.

    "small", "turbo", "distil-large-v3"    downloaded into the cache
    "better", "better.en"                  Privox's names for qualities
    "owner/name"                           any repository on the Hugging Face hub
    "/path/to/folder"                      a CTranslate2 model on this machine

The files are checked first: otherwise a missing one is reported only after half a minute of
attempts to download it.
"""

import json
from pathlib import Path
from typing import Any

from privox_dht import errors

INSTALL = "pip install 'privox-dht[whisper]'"
QUALITY = {
    "fast": "tiny",
    "normal": "base",
    "better": "small",
    "best": "medium",
    "xcribe": "large-v1",
    "xcribe2": "large-v2",
}  # Privox's names
ENGLISH = ".en"  # at the end of the name of a model for English only
REQUIRED_FILES = ("config.json", "model.bin", "tokenizer.json")  # and one of:
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
CANNOT_TRANSLATE = ("turbo", "distil")  # in the names of multilingual models that do not translate


def resolve_model(name: str) -> str:
    """The model for the name of a quality; any other name is returned unchanged."""
    word, english = (name.removesuffix(ENGLISH), ENGLISH) if name.endswith(ENGLISH) else (name, "")
    return QUALITY[word] + english if word in QUALITY else name


def request_names(name: str) -> tuple[str, ...]:
    """The names that a request may use for a model, its own name first."""
    shown = Path(name).name if is_path(name) else name
    plain = shown.removesuffix(ENGLISH)
    words = [word for word, model in QUALITY.items() if model == plain]
    return (shown, *words)


def is_path(name: str) -> bool:
    """Whether a model's name is the path of a folder."""
    return name.startswith(("/", ".", "~"))


def model_folder(name: str, cache: Path | None) -> Path:
    """The folder of a model, downloaded if necessary, with all its files.

    Raises:
        EngineUnavailable: there is no such model, or a file is missing or empty.
    """
    folder = Path(name).expanduser() if is_path(name) else downloaded(name, cache)
    if not folder.is_dir():
        raise errors.EngineUnavailable(
            f"there is no folder {folder}", "name a folder, or a model such as 'small'"
        )
    missing = [file for file in REQUIRED_FILES if not _has_content(folder / file)]
    if not any(_has_content(folder / file) for file in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    if missing:
        raise errors.EngineUnavailable(
            f"the model in {folder} lacks {', '.join(missing)}",
            "copy the files there, or convert the model again with --copy_files tokenizer.json",
        )
    try:
        json.loads((folder / "config.json").read_bytes())
    except ValueError as exc:
        raise errors.EngineUnavailable(
            f"{folder / 'config.json'} is not JSON", "download or convert the model again"
        ) from exc
    return folder


def downloaded(name: str, cache: Path | None) -> Path:
    """The folder of a model of the hub, downloaded if it is not in the cache.

    Raises:
        EngineUnavailable: there is no such model, or it cannot be downloaded.
    """
    from faster_whisper.utils import available_models, download_model

    model = resolve_model(name)
    if "/" not in model and model not in available_models():
        words = ", ".join(QUALITY)
        raise errors.EngineUnavailable(
            f"there is no model {name!r}", f"name one of {', '.join(available_models())}, {words}"
        )
    cache_dir = None if cache is None else str(cache)
    try:
        return Path(download_model(model, local_files_only=True, cache_dir=cache_dir))
    except Exception:  # not in the cache; huggingface_hub raises many kinds of errors for that
        pass
    try:
        return Path(download_model(model, cache_dir=cache_dir))
    except Exception as exc:
        raise errors.EngineUnavailable(
            f"the model {model} cannot be downloaded ({type(exc).__name__})",
            "connect to the internet once, or name a folder that holds the model",
        ) from exc


def name_in_cache(name: str) -> str:
    """The name under which `cached` lists a model."""
    model = resolve_model(name)
    return _name_of(_known().get(model, model))


def cached(cache: Path | None) -> list[tuple[str, int, Path]]:
    """The name, size in bytes, and folder of each model in the cache."""
    return [
        (_name_of(repo.repo_id), repo.size_on_disk, Path(repo.repo_path))
        for repo in _repositories(cache)
    ]


def remove(model: str, cache: Path | None) -> None:
    """Delete all versions of a model from the cache."""
    import huggingface_hub

    repositories = [repo for repo in _repositories(cache) if _name_of(repo.repo_id) == model]
    versions = [version.commit_hash for repo in repositories for version in repo.revisions]
    found = huggingface_hub.scan_cache_dir(None if cache is None else str(cache))
    found.delete_revisions(*versions).execute()


def size_of(folder: Path) -> int:
    """Bytes of all files of a model."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())


def _repositories(cache: Path | None) -> list[Any]:
    """The repositories in the cache, shared with other programs, that hold a Whisper model."""
    try:
        import huggingface_hub
    except ImportError:
        return []
    try:
        found = huggingface_hub.scan_cache_dir(None if cache is None else str(cache))
    except huggingface_hub.errors.CacheNotFound:
        return []
    return [
        repo
        for repo in found.repos
        if any(set(REQUIRED_FILES) <= {file.file_name for file in v.files} for v in repo.revisions)
    ]


def _name_of(repository: str) -> str:
    """faster-whisper's first name for a repository, or the repository's own name."""
    return next((name for name, its in _known().items() if its == repository), repository)


def _known() -> dict[str, str]:
    """The repositories that faster-whisper knows, by name; some have two names."""
    try:
        from faster_whisper import utils
    except ImportError:
        return {}
    known: dict[str, str] = getattr(utils, "_MODELS", {})
    return known


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
