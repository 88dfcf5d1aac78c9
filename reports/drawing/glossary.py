"""The glossary of the report: words that a newcomer cannot know, each explained in a sentence."""

from markupsafe import Markup

from reports.drawing.inline import name_term_anchor
from reports.drawing.templates import render

TERMS = (
    ("audit", "Measuring what corpus, rules and models do to groups of people."),
    (
        "bits per byte",
        "How many bits a model needs for one byte of text it has not seen: less is better, and models with different tokenizers can be compared.",
    ),
    (
        "capture",
        "One answer of a server as it was received, with the request and the evidence of its rights.",
    ),
    (
        "cluster",
        "Documents that are copies or near copies of each other. One of them is kept, or as many as the settings say.",
    ),
    ("document", "One text with its rights and its source: an article, a page, a post."),
    (
        "evidence",
        "What a licence or a refusal was read from: a link in the page, a header, a field of an interface's answer.",
    ),
    (
        "item",
        "What crawl counts: one page, or one article or post inside the answer of an interface.",
    ),
    (
        "ledger",
        "The account of what became of every record: read = kept + dropped + quarantined, in every step.",
    ),
    (
        "manifest",
        "The list of a run's files with their sizes and hashes, its settings and inputs. It is written last and seals the run.",
    ),
    (
        "MinHash",
        "A short signature of a text. How many of its elements two texts share estimates how similar the texts are, without comparing them.",
    ),
    (
        "nats",
        "The unit of a loss: how surprised the model is by the next token. 0 is certain; a model that guesses among 2,048 tokens evenly has 7.6.",
    ),
    (
        "near duplicate",
        "A text most of whose runs of five words also stand, in any order, in a text that is kept.",
    ),
    (
        "opt-out",
        "A refusal of the source to have its text used, such as noai in a page or a header.",
    ),
    (
        "perplexity",
        "The same as a loss in nats, as a number of choices: e to the power of the loss.",
    ),
    (
        "personal data",
        "Addresses of mail, telephone numbers and the like, found by their pattern. Names of people are not found.",
    ),
    (
        "preset",
        "A set of rules with thresholds, most from a publication. Which one judges a document depends on its kind of source.",
    ),
    (
        "quarantine",
        "Where records go that could not be read, each with its place and the error. None is passed over in silence.",
    ),
    ("reason", "Why a document was dropped: the name of a rule."),
    (
        "receipt",
        "A note beside each finished piece of work with its counts and hashes. After a crash, pieces with receipts are not done again.",
    ),
    ("rule", "A condition on signals that drops a document."),
    (
        "run",
        "The folder that one step wrote, named by settings, code and inputs: equal work has an equal name.",
    ),
    ("shard", "One file of tokens, ready for training."),
    (
        "signal",
        "A number or mark computed once for every document, such as the number of its words. Rules compare signals with thresholds.",
    ),
    (
        "split",
        "A part of the documents, chosen by their ids: to train with (train), to watch the training (validation), or to measure at the end (test).",
    ),
    (
        "token",
        "A piece of a word, numbered: what a model reads. The tokenizer cuts text into tokens.",
    ),
)
"""Words in alphabetical order."""


def draw_glossary() -> Markup:
    """Section 10."""
    entries = [(word, name_term_anchor(word), meaning) for word, meaning in TERMS]
    return render("glossary.html.jinja", entries=entries)
