"""What splits and expressions are called in data sets, and what they are called here."""

import re
from collections.abc import Iterable

from fer.errors import InputError

__all__ = ["SPLITS", "check_exact", "expression_of", "map_classes", "renamed", "split_of"]

SPLITS = ("train", "validation", "test")
_SPLIT_WORDS = {
    "train": ("train", "training"),
    # The challenge has two test splits, https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge
    "validation": ("validation", "valid", "val", "dev", "development", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
_SPLIT_OF = {word: split for split, words in _SPLIT_WORDS.items() for word in words}
_WORDS = {
    "angry": ("anger", "angry", "mad"),
    "contempt": ("contempt", "contemptuous"),
    "disgust": ("disgust", "disgusted"),
    "fear": ("afraid", "fear", "fearful", "scared"),
    "happy": ("happiness", "happy", "joy", "joyful"),
    "neutral": ("neutral",),
    "sad": ("sad", "sadness"),
    "surprise": ("surprise", "surprised"),
}
_EXPRESSION_OF = {word: name for name, words in _WORDS.items() for word in words}


def split_of(name: str) -> str | None:
    """Return the split that `name` stands for, in any case; None for any other word."""
    return _SPLIT_OF.get(name.strip().casefold())


def expression_of(name: str) -> str | None:
    """Return the expression that `name` stands for; leading numbers and case are ignored."""
    word = re.sub(r"^[\d\W_]+", "", name).strip().casefold()
    return _EXPRESSION_OF.get(word)


def map_classes(splits: Iterable[Iterable[str]], what: str, exact: bool = False) -> dict[str, str]:
    """Return what each class of a data set is called here.

    Args:
        splits: names of the classes of each split; those that differ in case alone are one class,
            and splits may spell them differently.
        what: what errors call the data set.
        exact: refuse names that are spelled otherwise here.

    Raises:
        InputError: two words in a split mean the same class, or `exact` and one is spelled
            otherwise.
    """
    groups = [set(names) for names in splits]
    words: dict[str, str] = {}
    mapping = {
        name: expression_of(name) or words.setdefault(name.casefold(), name)
        for name in sorted(set().union(*groups))
    }
    for names in groups:
        for class_name in {mapping[name] for name in names}:
            same = sorted({name.casefold() for name in names if mapping[name] == class_name})
            if len(same) > 1:
                raise InputError(
                    f"each class of {what} must have one name. Received: {same}, which all mean "
                    f"{class_name!r}; rename all but one, or put their pictures together"
                )
    if exact:
        check_exact(mapping, f"classes of {what}")
    return mapping


def check_exact(mapping: dict[str, str], what: str) -> None:
    """Raise where a name is spelled otherwise than here.

    Args:
        mapping: what each name is here.
        what: what errors call the names.

    Raises:
        InputError: one is.
    """
    if changed := _shown(mapping):
        raise InputError(
            f"with --exact, {what} must be spelled as they are here. Received: {changed}"
        )


def renamed(mapping: dict[str, str], what: str) -> list[str]:
    """Return a line on the names that are others here, for people; none where all are the same."""
    changed = _shown(mapping)
    return [f"{what}: {changed}"] if changed else []


def _shown(mapping: dict[str, str]) -> str:
    return ", ".join(f"{name} -> {found}" for name, found in mapping.items() if name != found)
