"""How the data of a card were treated: what was left out, copies, personal data, rights, limits."""

from collections.abc import Iterator, Mapping

from gristmill.corpus.view import COPIES
from gristmill.formatting import (
    format_bytes,
    format_count,
    format_counted,
    format_list,
    format_share,
)
from gristmill.rights.policy import UNKNOWN
from reports.card.content import Card, number_of
from reports.card.markup import Code, bullets, table, text
from reports.chain.reasons import list_conditions

PLACEHOLDERS = {
    "email": "<EMAIL>",
    "key": "<KEY>",
    "ip": "<IP>",
    "iban": "<IBAN>",
    "resident_id": "<ID>",
    "card": "<CARD>",
    "phone": "<PHONE>",
}
"""What stands for each kind of personal data; a test holds it against what masks them."""
CUTS = {
    "repeated_line": "lines",
    "repeated_paragraph": "paragraphs",
    "repeated_span": "runs of words",
}


def funnel(card: Card) -> Iterator[str]:
    """The ledger of every step."""
    runs = [run for run in card.runs if run.main and run.entries]
    fates = ("read", "kept", "dropped", "quarantined")
    yield "In every step read = kept + dropped + quarantined (could not be read):\n"
    yield from table(
        ["step", *fates], [(run.step, *(run.counts.get(fate, 0) for fate in fates)) for run in runs]
    )
    if card.crawled:
        yield "\nThe steps count different things: crawl counts pages and the items of answers, annotate every record of what was stored, listings included, and the others documents."
    again = sum(entry.documents for entry in card.own.entries if entry.reason == "decided")
    if again:
        yield f"\nThe {format_count(again)} that `{card.run.step}` dropped as `decided` are those that `decide` had dropped before it."
    if card.losses:
        yield "\nThe reasons; a document counts for the first that held:\n"
        rows = [
            (
                loss.step,
                Code(loss.reason),
                loss.fate,
                loss.number,
                loss.means or "not explained by this version",
            )
            for loss in card.losses
        ]
        yield from table(["step", "reason", "fate", "number", "drops what"], rows, rest="reasons")
    yield from judged_twice(card)
    yield from cut(card)


def judged_twice(card: Card) -> Iterator[str]:
    """Why refusals stand in the ledger of a crawl and in that of decide."""
    crawled, decided = (number_of(card, step, "opt_out") for step in ("crawl", "decide"))
    if crawled:
        yield f"\nWhat `crawl` dropped as `opt_out` ({format_count(crawled)}) is a judgment: the captures stay as evidence, `annotate` reads them, and `decide` drops their text. The {format_count(decided)} that `decide` dropped as `opt_out` are the same documents, as far as `annotate` could read them: do not add the two."


def cut(card: Card) -> Iterator[str]:
    """What was cut out of documents that were kept."""
    found = card.last("decide").details.get("repeated")
    if found:
        parts = [
            f"{format_bytes(found[reason])} of {what}"
            for reason, what in CUTS.items()
            if found.get(reason)
        ]
        yield f"\nRepeated passages were cut out of {format_counted(found['documents'], 'kept document')}: {format_list(parts) or 'nothing'}."
    else:
        yield "\nNo passages were cut out of documents."


def unread(card: Card) -> str:
    """How many records could not be fetched or read, step by step: what a later step met again stands in both."""
    lost = [(run.step, run.counts.get("quarantined", 0)) for run in card.runs if run.main]
    return (
        format_list(
            [f"{format_count(number)} in {step}" for step, number in lost if number], most=6
        )
        or "none"
    )


def copies(card: Card) -> Iterator[str]:
    """How copies were found, and what became of them."""
    decide = card.last("decide")
    rules = [rule for rule in list_conditions(decide, {}) if rule.name in COPIES]
    rows = [
        (Code(rule.name), number_of(card, "decide", rule.name), rule.drops_if) for rule in rules
    ]
    yield from table(["reason", "documents dropped", "drops a document if"], rows)
    most = decide.config.get("keep_per_cluster", 1)
    largest = f"; the largest cluster has {format_counted(card.scan.largest, 'document')}"
    found = (
        f"{format_counted(card.scan.copied, 'kept document')} had copies{largest}"
        if card.scan.copied
        else "No kept document had a copy"
    )
    yield f"\nOf every cluster of near copies {'one stays' if most == 1 else f'up to {format_count(most)} stay'}. {found}."
    if upweight := decide.config.get("upweight"):
        said = ", ".join(
            f"{times} times from {least} copies on" for least, times in upweight.items()
        )
        yield f"What survives of large clusters is written several times: {said}."


def masking(card: Card) -> str:
    """What happened to personal data, in one line."""
    if card.scan.personal is None:
        return "not looked for, and not masked"
    found = format_counted(sum(card.scan.personal.values()), "span")
    return f"{found} found by patterns, {'masked' if card.masked else 'left in the text'}; names are not looked for"


def personal(card: Card) -> Iterator[str]:
    """What was looked for, found and masked."""
    if card.scan.personal is None:
        yield "Personal data were **not looked for** (`annotate.only_hashes`), so none were masked."
    else:
        if card.masked:
            yield f"What patterns found in {card.kept} was replaced by a placeholder that names its kind:\n"
        else:
            yield f"What patterns found in {card.kept} was **left in the text** (`mask_personal` was off):\n"
        head = ["kind", *(["placeholder"] if card.masked else []), "spans found"]
        kinds = [*PLACEHOLDERS, *sorted(set(card.scan.personal) - set(PLACEHOLDERS))]
        yield from table(
            head,
            [
                (
                    kind,
                    *([Code(PLACEHOLDERS.get(kind, "none"))] if card.masked else []),
                    card.scan.personal[kind],
                )
                for kind in kinds
            ],
        )
    yield "\nNames and postal addresses are not looked for, and what patterns miss is still there: treat the text as containing personal data."
    yield ""
    for line in authors(card):
        yield from bullets(line)


def authors(card: Card) -> Iterator[str]:
    """What became of authors, what addresses still tell of them, and which runs and columns hold either."""
    named, addressed = card.scan.authors, card.scan.addresses
    if card.pseudonyms:
        yield f"Authors of social posts and of news pages are replaced by keyed pseudonyms in the column `author` ({by_kind(named)})."
    else:
        yield "Authors of social posts and of news pages are left out: the column `author` is empty."
    if addressed:
        yield f"Addresses in the column `url` are kept as they were read and can name authors: that of a social post holds its author's handle. Kept documents with an address: {by_kind(addressed)}."
    else:
        yield "No kept document has an address in the column `url`."
    yield from where_named(card)


def where_named(card: Card) -> Iterator[str]:
    """Which columns of this run, and of the runs behind it, hold authors and addresses."""
    annotated, there = card.last("annotate").id, {column.name for column in card.columns}
    if card.packed:
        yield f"This holds for `{annotated}` and for text exported from it. Shards have no column `author` or `url`; `gristmill shards decode` shows both where `{annotated}` lies beside the shards."
        return
    has = format_list([f"`{name}`" for name in ("author", "url") if name in there])
    yield f"This holds for `{annotated}`; of these columns this text has {has or 'none'}."


def by_kind(found: Mapping[str, int]) -> str:
    """Documents by kind of source, the most first."""
    parts = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{kind} {format_count(number)}" for kind, number in parts) or "none has any"


def refusals(card: Card) -> str:
    """What became of documents that refuse this use, in one line."""
    number = sum(card.scan.refused_kept.values())
    if not card.scan.refused_read:
        return "none stated by the sources"
    if not card.last("decide").config.get("rights", {}).get("honour_opt_outs", True):
        return f"NOT honoured: kept documents state {format_count(number)}"
    return f"honoured: {format_counted(number_of(card, 'decide', 'opt_out'), 'document')} dropped"


def rights(card: Card) -> Iterator[str]:
    """The policy, refusals and takedowns, a bullet each."""
    decide = card.last("decide")
    policy = decide.config.get("rights", {})
    licences = format_list(list(map(text, policy.get("licences") or ())), most=30)
    yield f"Licences allowed: {licences or 'any'}; documents of unknown licence are {'allowed' if policy.get('allow_unknown', True) else 'dropped'}. Dropped for their licence: {format_count(number_of(card, 'decide', 'licence'))}."
    honour = "dropped" if policy.get("honour_opt_outs", True) else "**kept**"
    yield f"Documents whose source refuses this use (such as `noai`) are {honour}. Dropped: {format_count(number_of(card, 'decide', 'opt_out'))}."
    if words := card.scan.refused_read:
        stated = "; ".join(
            f"{Code(word).written} {format_count(n)} ({format_count(card.scan.refused_kept[word])} kept)"
            for word, n in sorted(words.items())
        )
        yield f"Refusals that were read: {stated}."
    yield f"Takedowns: {takedowns(card)}."
    for run in card.of("crawl"):
        yield f"`{run.id}` judged rights by the policy {Code(run.details.get('policy', 'of its settings')).written} and read robots.txt."
    yield f"To take a document down: its `id` names it in the list of `decide.takedown`{' and in `gristmill shards decode --id`' if card.packed else ''}."


def takedowns(card: Card) -> str:
    """The list of takedowns, and what it dropped."""
    asked = card.last("decide").details.get("takedowns", 0)
    if not asked:
        return "no list was given"
    return f"the list has {format_counted(asked, 'request')}; documents dropped by it: {format_count(number_of(card, 'decide', 'takedown'))}"


def limits(card: Card) -> Iterator[str]:
    """What the card cannot promise, a bullet each."""
    kept, unknown = card.scan.kept, card.scan.of_licence().get(UNKNOWN, 0)
    if unknown:
        yield f"For {format_count(unknown)} of {card.kept} ({format_share(unknown, kept)}) no licence is known: whoever uses them must judge."
    yield "Licences and refusals are what the input states. Where it states none, none was looked for elsewhere."
    yield "A document has one language label. Thresholds of most rules were published for English; languages that a rule names above have their own, and all others are judged as English is."
    yield "Near copies are found by sampling hashes, so some stay; translations and paraphrases are no copies."
    yield "Nothing was checked for truth, and no text was read by a person."
    if (lost := unread(card)) != "none":
        yield f"Records that could not be fetched or read: {lost}. Nothing is known of them but where they are: see `gristmill quarantine`."
    if any(run.exit_code == 3 for run in card.runs if run.main):
        yield "More records could not be read than the error budget allowed."
    if not card.audits:
        yield "No audit was given for this card."
    if card.missing:
        yield f"Runs that did not lie beside this one, so that nothing is told of them: {format_list([f'`{name}`' for name in card.missing], most=9)}."
