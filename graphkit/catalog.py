"""One card per method: which paper it comes from, what it takes and gives, where it deviates.

The list of rooms stands here as well.  Nothing is imported but words: only :func:`cards` imports
the rooms of graphkit, and only when called.
"""

# fingerprint: not counted

from __future__ import annotations

import importlib
import importlib.util
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from graphkit.words import did_you_mean

__all__ = ["Card", "UnknownMethodError", "card_of", "cards", "cite", "method", "no_method"]

METHOD_ROOMS = (
    "nn",
    "sampling",
    "continual",
    "distill",
    "transfer",
    "compress",
    "vision",
    "adapters",
)
"""Rooms of methods: what they export has a card, or says why it has none."""

ROOMS = (*METHOD_ROOMS, "train", "transforms", "datasets", "metrics")
"""All rooms where methods, and whatever else a recipe names, may live."""

ARXIV = re.compile(r"arxiv:(\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[a-z]{2})?/\d{7})", re.IGNORECASE)
DOI = re.compile(r"(doi:|https?://(dx\.)?doi\.org/)(?P<doi>10\.\d{4,9}/\S+)", re.IGNORECASE)
URL = re.compile(r"https?://\S+")
JOURNAL = re.compile(r"[Jj]ournal|Transactions|Letters|\b(T[A-Z]{2,4}|JMLR|PNAS|IJCV|Nature)\b")
SMALL_WORDS = frozenset(
    {"a", "an", "and", "are", "do", "for", "how", "in", "is", "of", "on", "the"}
)
LATEX = str.maketrans({sign: f"\\{sign}" for sign in "&%#_$"})

T = TypeVar("T", bound=Callable[..., Any])


class UnknownMethodError(LookupError):
    """No card carries the name that was asked for; the message lists the nearest names."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Card:
    r"""What is known about a method.

    Args:
        name (str): Name of the class or function.
        module (str): Module it is defined in.
        paper (str): :obj:`"arXiv:2101.03464"`, :obj:`"doi:10.1145/…"` or an address of the paper.
        title (str): Title of the paper.
        authors (str): Authors, separated by commas, semicolons or :obj:`" and "`; :obj:`"et al."`
            may end the list.
        venue (str): Where it was published, such as :obj:`"IJCAI 2019"`.
        year (int): Year of publication.
        code (str, optional): Address of the released code.
        licence (str): Licence of that code, :obj:`"none"` where it states none.
        takes (str): What goes in.
        gives (str): What comes out.
        deviations (tuple of str, optional): Every known difference from the paper.
        limits (tuple of str, optional): When not to use it, as measured.
        verified_by (str, optional): Test or recipe that shows the method right.
        bibtex (str, optional): A BibTeX entry used in place of the generated one.
    """

    name: str
    module: str
    paper: str
    title: str
    authors: str
    venue: str
    year: int
    code: str | None
    licence: str
    takes: str
    gives: str
    deviations: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    verified_by: str | None = None
    bibtex: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str) and not value.strip():
                raise ValueError(f"card of {self.name!r}: '{field.name}' is empty")
        if not (ARXIV.fullmatch(self.paper) or DOI.fullmatch(self.paper) or URL.match(self.paper)):
            raise ValueError(
                f"card of {self.name!r}: 'paper' must look like 'arXiv:2101.03464', "
                f"'doi:10.1145/3292500' or 'https://…', got {self.paper!r}"
            )
        if isinstance(self.year, bool) or not isinstance(self.year, int) or self.year < 1900:
            raise ValueError(f"card of {self.name!r}: 'year' is no year: {self.year!r}")

    @property
    def room(self) -> str:
        """The room of graphkit the method lives in, such as :obj:`"nn"`."""
        parts = self.module.split(".")
        return parts[1] if parts[0] == "graphkit" and len(parts) > 1 else parts[0]

    @property
    def link(self) -> str:
        """Address of the paper."""
        if ARXIV.fullmatch(self.paper):
            return f"https://arxiv.org/abs/{self.paper.split(':', 1)[1]}"
        doi = DOI.fullmatch(self.paper)
        return f"https://doi.org/{doi['doi']}" if doi else self.paper

    @property
    def author_names(self) -> list[str]:
        """The authors, one by one; :obj:`"others"` closes a list that ended in *et al.*"""
        text = re.sub(r",?\s*\bet al\.?\s*$", ", others", self.authors.strip())
        names = re.split(r"\s*[,;]\s*(?:and\s+)?|\s+and\s+", text)
        return [name.strip() for name in names if name.strip()]

    def key(self) -> str:
        """BibTeX key: surname of the first author, year, first telling word of the title."""
        words = re.findall(r"\w+", self.title.replace("-", ""))
        word = next((w for w in words if w.lower() not in SMALL_WORDS), words[0])
        name = f"{self.author_names[0].split()[-1]}{self.year}{word}".lower()
        ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        return re.sub(r"[^a-z0-9]", "", ascii_name)

    def to_bibtex(self, key: str | None = None) -> str:
        r"""The BibTeX entry of the method's paper.

        Args:
            key (str, optional): Key of the entry. (default: :meth:`key`)
        """
        if self.bibtex is not None:
            return self.bibtex.strip()
        preprint = self.venue.lower().startswith(("arxiv", "corr", "preprint"))
        journal = preprint or JOURNAL.search(self.venue) is not None
        venue = re.sub(r",?\s+\d{4}$", "", self.venue) if journal else self.venue
        entry = {
            "title": f"{{{self.title.translate(LATEX)}}}",
            "author": " and ".join(self.author_names).translate(LATEX),
            "journal" if journal else "booktitle": venue.translate(LATEX),
            "year": str(self.year),
        }
        doi = DOI.fullmatch(self.paper)
        if ARXIV.fullmatch(self.paper):
            entry |= {"eprint": self.paper.split(":", 1)[1], "archiveprefix": "arXiv"}
        elif doi:
            entry["doi"] = doi["doi"]
        entry["url"] = self.link
        body = "\n".join(f"  {name:<13} = {{{value}}}," for name, value in entry.items())
        return f"@{'article' if journal else 'inproceedings'}{{{key or self.key()},\n{body}\n}}"


REGISTRY: dict[tuple[str, str], Card] = {}


def method(
    paper: str,
    title: str,
    authors: str,
    venue: str,
    year: int,
    code: str | None,
    licence: str,
    takes: str,
    gives: str,
    deviations: Sequence[str] = (),
    limits: Sequence[str] = (),
    verified_by: str | None = None,
    bibtex: str | None = None,
) -> Callable[[T], T]:
    r"""Gives a class or function its :class:`Card`, as ``.card``, and enters it in the catalog.

    The arguments are those of :class:`Card`; name and module come from the decorated object.

    Example:
        >>> from graphkit.catalog import method
        >>> @method(
        ...     paper="arXiv:1609.02907",
        ...     title="Semi-Supervised Classification with Graph Convolutional Networks",
        ...     authors="Thomas N. Kipf, Max Welling",
        ...     venue="ICLR 2017",
        ...     year=2017,
        ...     code="https://github.com/tkipf/gcn",
        ...     licence="MIT",
        ...     takes="node features, edges",
        ...     gives="node features",
        ... )
        ... class MyConv: ...
        >>> MyConv.card.key()
        'kipf2017semisupervised'
    """
    for name, sentences in (("deviations", deviations), ("limits", limits)):
        if isinstance(sentences, str):
            raise TypeError(f"'{name}' must be a sequence of sentences, got {sentences!r}")

    def attach(target: T) -> T:
        card = Card(
            name=target.__name__,
            module=target.__module__,
            paper=paper,
            title=title,
            authors=authors,
            venue=venue,
            year=year,
            code=None if code in (None, "none") else code,
            licence=licence,
            takes=takes,
            gives=gives,
            deviations=tuple(deviations),
            limits=tuple(limits),
            verified_by=verified_by,
            bibtex=bibtex,
        )
        REGISTRY[card.module, card.name] = card
        target.card = card  # type: ignore[attr-defined]
        return target

    return attach


def no_method(what: str) -> Callable[[T], T]:
    r"""Says of a public class that has no card, since it has no paper of its own, what it is.

    Args:
        what (str): What it is, such as ``"the contract of losses"``; kept as ``.no_method``.

    Raises:
        ValueError: If nothing is said.

    Example:
        >>> from graphkit.catalog import no_method
        >>> @no_method("what two methods share")
        ... class Shared: ...
        >>> Shared.no_method
        'what two methods share'
    """
    if not what.strip():
        raise ValueError("'what' must say what it is instead of a method")

    def attach(target: T) -> T:
        target.no_method = what  # type: ignore[attr-defined]
        return target

    return attach


def card_of(target: Any) -> Card | None:
    r"""The card of a class or function itself, never one inherited from a base class.

    Args:
        target (type or callable): The class or function.
    """
    return vars(target).get("card") if hasattr(target, "__dict__") else None


def cards() -> list[Card]:
    """All cards of graphkit's public rooms and of whatever else is registered, by room and name."""
    for room in ROOMS:
        if importlib.util.find_spec(f"graphkit.{room}") is not None:
            importlib.import_module(f"graphkit.{room}")
    return sorted(REGISTRY.values(), key=lambda card: (card.room, card.name.lower(), card.module))


def find(name: str) -> list[Card]:
    r"""The cards of that name, regardless of case.

    Args:
        name (str): Name of a method.

    Raises:
        UnknownMethodError: If there is none; the message lists the nearest names.
    """
    known = cards()
    matching = [card for card in known if card.name.lower() == name.strip().lower()]
    if matching:
        return matching
    hint = did_you_mean(name, [card.name for card in known])
    raise UnknownMethodError(
        f"no method is called {name!r}; {hint} `python -m graphkit methods` lists all of them."
    )


def cite(names: str | Iterable[str]) -> str:
    r"""BibTeX entries for one or several methods, each paper once.

    Args:
        names (str or iterable of str): Names of methods.

    Raises:
        UnknownMethodError: If a name has no card; the message lists the nearest names.
    """
    entries: dict[str, str] = {}
    for name in [names] if isinstance(names, str) else names:
        for card in find(name):
            key = free_key(card, entries)
            entries.setdefault(key, card.to_bibtex(key))
    return "\n\n".join(entries.values())


def free_key(card: Card, entries: dict[str, str]) -> str:
    """The card's key, lengthened by a letter where another paper already has it."""
    candidates = [card.key() + letter for letter in ["", *"abcdefghijklmnopqrstuvwxyz"]]
    for key in candidates:
        if entries.get(key, card.to_bibtex(key)) == card.to_bibtex(key):
            return key
    raise ValueError(f"too many papers share the BibTeX key {card.key()!r}")
