"""What splits and expressions are called in data sets, and what they are called here."""

import re
from collections.abc import Iterable

from fer.errors import InputError

__all__ = ["SPLITS", "expression_of", "map_classes", "shown", "split_of"]

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
    changed = {name: found for name, found in mapping.items() if name != found}
    if exact and changed:
        raise InputError(
            f"with --exact, classes of {what} must be spelled as they are here. "
            f"Received: {shown(changed)}"
        )
    return mapping


def shown(mapping: dict[str, str]) -> str:
    """Return `mapping` for people: "anger -> angry, ..."."""
    return ", ".join(f"{name} -> {found}" for name, found in mapping.items())
