import re
import subprocess
import sys

import pytest

from graphkit import catalog
from graphkit.catalog import (
    Card,
    UnknownMethodError,
    card_of,
    cards,
    cite,
    method,
    no_method,
)

FIELDS = {
    "paper": "arXiv:1609.02907",
    "title": "Semi-Supervised Classification with Graph Convolutional Networks",
    "authors": "Thomas N. Kipf, Max Welling",
    "venue": "ICLR 2017",
    "year": 2017,
    "code": "https://github.com/tkipf/gcn",
    "licence": "MIT",
    "takes": "node features, edges",
    "gives": "node features",
}


@pytest.fixture
def registry(monkeypatch):
    """An empty catalog that imports no room."""
    monkeypatch.setattr(catalog, "REGISTRY", {})
    monkeypatch.setattr(catalog, "ROOMS", ())
    return catalog.REGISTRY


def make(name, **changes):
    return method(**{**FIELDS, **changes})(type(name, (), {}))


def test_decorator_attaches_and_registers(registry):
    target = make("GCN", deviations=["no bias"])
    assert cards() == [target.card]
    assert target.card.name == "GCN"
    assert target.card.deviations == ("no bias",)
    assert target.card.module == __name__


def test_functions_have_cards_too(registry):
    @method(**FIELDS)
    def prune(x):
        return x

    assert prune(3) == 3
    assert card_of(prune).name == "prune"


def test_subclasses_do_not_inherit_the_card_as_their_own(registry):
    base = make("GCN")
    assert card_of(type("Mine", (base,), {})) is None
    assert card_of(base) is base.card


def test_bibtex_of_arxiv_paper(registry):
    make("GCN")
    assert cite("gcn") == (
        "@inproceedings{kipf2017semisupervised,\n"
        "  title         = {{Semi-Supervised Classification with Graph Convolutional Networks}},\n"
        "  author        = {Thomas N. Kipf and Max Welling},\n"
        "  booktitle     = {ICLR 2017},\n"
        "  year          = {2017},\n"
        "  eprint        = {1609.02907},\n"
        "  archiveprefix = {arXiv},\n"
        "  url           = {https://arxiv.org/abs/1609.02907},\n"
        "}"
    )


def test_bibtex_of_journal_with_doi_special_signs_and_et_al(registry):
    make(
        "Club",
        paper="doi:10.1086/jar.33.4.3629752",
        title="The Conflict & Fission of 100% of #Groups",
        authors="Wayne Zachary et al.",
        venue="Journal of Anthropological Research",
        year=1977,
    )
    text = cite(["Club"])
    assert text.startswith("@article{zachary1977conflict,")
    assert r"Conflict \& Fission of 100\% of \#Groups" in text
    assert "author        = {Wayne Zachary and others}" in text
    assert "doi           = {10.1086/jar.33.4.3629752}" in text
    assert "url           = {https://doi.org/10.1086/jar.33.4.3629752}" in text


def test_a_given_bibtex_entry_is_used(registry):
    make("GCN", bibtex="@misc{kipf, title={GCN}}\n")
    assert cite("GCN") == "@misc{kipf, title={GCN}}"


def test_a_paper_is_cited_once_and_keys_differ(registry):
    make("GCN")
    make("GCNConv")
    make("Other", paper="arXiv:1609.00001")
    text = cite(["GCN", "GCNConv", "Other"])
    assert text.count("@inproceedings") == 2
    assert "{kipf2017semisupervised," in text
    assert "{kipf2017semisuperviseda," in text


def test_authors_with_accents_make_ascii_keys(registry):
    card = make("GAT", authors="Petar Veličković and Guillem Cucurull", title="On Graphs").card
    assert card.key() == "velickovic2017graphs"


def test_unknown_name_suggests_the_nearest(registry):
    make("FactorConv")
    make("Grafting")
    with pytest.raises(UnknownMethodError, match=r"'FactrConv'; did you mean 'FactorConv'\?"):
        cite("FactrConv")
    with pytest.raises(UnknownMethodError, match=r"'qqq'; there are .* `python"):
        cite("qqq")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paper": "2101.03464"}, "'paper' must look like"),
        ({"paper": "arXiv:21.03"}, "'paper' must look like"),
        ({"year": "2017"}, "'year' is no year"),
        ({"year": 17}, "'year' is no year"),
        ({"title": " "}, "'title' is empty"),
        ({"licence": ""}, "'licence' is empty"),
    ],
)
def test_wrong_cards_are_refused(registry, change, message):
    with pytest.raises(ValueError, match=message):
        make("GCN", **change)


def test_deviations_must_be_a_sequence(registry):
    with pytest.raises(TypeError, match="'deviations'"):
        make("GCN", deviations="no bias")


def test_links(registry):
    assert make("A").card.link == "https://arxiv.org/abs/1609.02907"
    assert make("B", paper="https://doi.org/10.1145/3292500").card.link.endswith("10.1145/3292500")
    assert make("C", paper="https://example.org/p.pdf").card.link == "https://example.org/p.pdf"


def test_rooms(registry):
    card = make("A").card
    assert card.room == __name__.split(".")[0]
    inner = Card(name="A", module="graphkit.nn.conv.a", **FIELDS)
    assert inner.room == "nn"


def test_all_cards_of_graphkit_give_bibtex():
    names = [card.name for card in cards() if card.module.startswith("graphkit.")]
    text = cite(names)
    for card in cards():
        if card.module.startswith("graphkit."):
            assert card.title.split()[0].split("-")[0] in text


def test_importing_the_catalog_imports_nothing_but_words():
    program = (
        "import sys, graphkit.catalog\n"
        "print([m for m in sys.modules if m == 'torch' or m.startswith('graphkit.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "['graphkit.words', 'graphkit.catalog']", done.stderr


def test_the_least_year_and_what_is_none(registry):
    assert make("A", year=1900).card.year == 1900
    for year in (1899, True):
        with pytest.raises(ValueError, match="'year' is no year"):
            make("A", year=year)
    assert make("B", code="none").card.code is None
    assert make("B", code=None).card.code is None
    assert make("B").card.code == FIELDS["code"]


def test_what_has_no_card_says_so():
    plain = no_method("what two share")(type("Plain", (), {}))
    assert plain.no_method == "what two share"
    with pytest.raises(ValueError, match="'what' must say"):
        no_method(" ")


def test_cards_stand_by_room_and_name(registry):
    for name in ("beta", "Alpha", "gamma"):
        make(name)
    inner = Card(name="zeta", module="graphkit.aaa.x", **FIELDS)
    registry["m", "zeta"] = inner
    assert [card.name for card in cards()] == ["zeta", "Alpha", "beta", "gamma"]


def test_names_are_found_in_whatever_case_and_every_card_of_them(registry):
    make("GCN")
    registry["other", "gcn"] = Card(
        name="gcn", module="other", **FIELDS | {"paper": "arXiv:1609.00001"}
    )
    assert len(catalog.find(" GcN ")) == 2
    assert cite("GCN").count("@inproceedings") == 2


def test_a_third_paper_has_a_key_of_its_own(registry):
    for number, name in enumerate(("A", "B", "C")):
        make(name, paper=f"arXiv:1609.0000{number}")
    text = cite(["A", "B", "C"])
    keys = [line.split("{")[1] for line in text.splitlines() if line.startswith("@")]
    first = "kipf2017semisupervised"
    assert keys == [f"{first},", f"{first}a,", f"{first}b,"]
    assert "\n\n@" in text


@pytest.mark.parametrize(
    ("venue", "line"),
    [
        ("arXiv 2017", "journal       = {arXiv},"),
        ("IEEE Transactions on Graphs, 2017", "journal       = {IEEE Transactions on Graphs},"),
        ("TPAMI 2017", "journal       = {TPAMI},"),
        ("TNNLS", "journal       = {TNNLS},"),
        ("ICLR 2017", "booktitle     = {ICLR 2017},"),
    ],
)
def test_journals_lose_their_year_and_conferences_do_not(registry, venue, line):
    entry = make("A", venue=venue).card.to_bibtex()
    assert f"\n  {line}\n" in entry
    assert entry.startswith("@article" if "journal" in line else "@inproceedings")
    assert make("A").card.to_bibtex("mine").startswith("@inproceedings{mine,\n")


@pytest.mark.parametrize(
    ("title", "key"),
    [
        ("How the Graph", "kipf2017graph"),
        ("On the", "kipf2017on"),
        ("Non-Local Graphs", "kipf2017nonlocal"),
    ],
)
def test_keys_begin_with_the_first_telling_word(registry, title, key):
    assert make("A", title=title).card.key() == key


@pytest.mark.parametrize(
    ("authors", "names"),
    [
        ("A B; C D", ["A B", "C D"]),
        ("A B and C D", ["A B", "C D"]),
        ("A B, and C D,", ["A B", "C D"]),
        ("A B, et al.", ["A B", "others"]),
    ],
)
def test_authors_one_by_one(registry, authors, names):
    assert make("A", authors=authors).card.author_names == names


def test_doi_papers(registry):
    card = make("A", paper="doi:10.1145/3292500").card
    assert card.link == "https://doi.org/10.1145/3292500"
    assert "doi           = {10.1145/3292500}," in card.to_bibtex()
    with pytest.raises(TypeError, match="'limits'"):
        make("A", limits="none")
    assert make("A", limits=["small"]).card.limits == ("small",)


def test_rooms_of_methods_begin_all_rooms():
    assert catalog.ROOMS[: len(catalog.METHOD_ROOMS)] == catalog.METHOD_ROOMS
    assert Card(name="A", module="graphkit", **FIELDS).room == "graphkit"
    assert card_of(3) is None


def test_years_are_those_of_venues_and_preprints():
    """A workshop's paper may come to arXiv later."""
    for card in (card for card in cards() if card.module.startswith("graphkit.")):
        years = re.findall(r"\b(?:19|20)\d\d\b", card.venue)
        if not years and card.venue.startswith("arXiv"):
            years = [f"20{card.paper.removeprefix('arXiv:')[:2]}"]
        if years and card.name != "SoftTargetLoss":
            assert [str(card.year)] == years, card.name
