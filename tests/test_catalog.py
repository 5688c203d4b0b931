import subprocess
import sys

import pytest

from graphkit import catalog
from graphkit.catalog import Card, UnknownMethodError, card_of, cards, cite, method

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
