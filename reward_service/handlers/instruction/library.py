"""The checkers of `if-verifiable`, and NLTK with its data.

What is decided here: how the library is used. Its package imports `datasets` for fetching benchmarks, and its utilities
call NLTK's downloader while they are imported: a stand-in takes the place of the first, and the second finds a function
that does nothing, so that nothing is ever fetched. NLTK reads the folder `data` beside this file first. Only checkers
that are linear in the response, draw nothing at random once their arguments are complete and log nothing are used
(`catalogue.py`); the others are written anew in `ifeval.py` and `ifbench.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from reward_service.handlers._optional import load

EXTRA = "instruction"
DATA = Path(__file__).parent / "data"


@lru_cache(maxsize=1)
def nltk() -> Any:
    """NLTK, looking for its data here first. `Missing` if it isn't installed."""
    module: Any = load("nltk", EXTRA)
    if str(DATA) not in module.data.path:
        module.data.path.insert(0, str(DATA))
    return module


def _no_download(*_: Any, **__: Any) -> bool:
    return False


@lru_cache(maxsize=1)
def _packages() -> tuple[Any, Any]:
    module = nltk()
    downloader = module.download
    module.download = _no_download
    try:
        ifeval = load("if_verifiable.ifeval.instructions_registry", EXTRA, without=("datasets",))
        ifbench = load("if_verifiable.ifbench.instructions_registry", EXTRA, without=("datasets",))
    finally:
        module.download = downloader
    # IFBench's sentences are NLTK's by now; the library's copy still cuts with IFEval's patterns.
    ifbench.instructions.instructions_util.split_into_sentences = lambda text: list(sentences(text))
    logging.getLogger("syllapy").setLevel(logging.WARNING)  # below that it quotes the response
    return ifeval, ifbench


@lru_cache(maxsize=1)
def _classes() -> Mapping[str, Any]:
    ifeval, ifbench = _packages()
    return {**ifeval.INSTRUCTION_DICT, **ifbench.INSTRUCTION_DICT}


def library_check(identifier: str) -> Callable[[str, Mapping[str, Any]], bool]:
    """The library's checker of an instruction, as a function of response and complete arguments."""

    def check(text: str, arguments: Mapping[str, Any]) -> bool:
        checker = _classes()[identifier](identifier)
        checker.build_description(**arguments)
        return bool(checker.check_following(text))

    return check


@lru_cache(maxsize=8)
def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text by NLTK, as IFBench has them. Kept for the row's other instructions."""
    return tuple(nltk().sent_tokenize(text))


def cut_sentences(text: str) -> list[str]:
    """The sentences of a text by IFEval's patterns, which IFBench's training instructions use."""
    ifeval, _ = _packages()
    found: list[str] = ifeval.instructions.instructions_util.split_into_sentences(text)
    return found


@lru_cache(maxsize=8)
def words(text: str) -> tuple[str, ...]:
    """NLTK's word tokens, punctuation among them. Kept for the row's other instructions."""
    return tuple(nltk().word_tokenize(text))


@lru_cache(maxsize=1)
def has_tagger() -> bool:
    """Does NLTK find its English tagger? It is in no package, so it is there only where somebody put it."""
    try:
        nltk().data.find("taggers/averaged_perceptron_tagger_eng")
    except LookupError:
        return False
    return True


def warm_up() -> None:
    """Import everything, and load the sentence model. `Missing` if the extra isn't installed."""
    _classes()
    words("One. Two.")
    library_check("length_constraints:number_sentences")(
        "One. Two.", {"num_sentences": 2, "relation": "at least"}
    )
    library_check("ratio:stop_words")("One. Two.", {"percentage": 50})
