"""What each metric of audit.json means: its unit, what no difference looks like, and "
"what it does not say."""

from __future__ import annotations

from bias_audit.contract.estimate import MetricDefinition
from bias_audit.verdict import INSENSITIVE

DEFINITIONS: dict[str, MetricDefinition] = {
    "mentions.per_million": MetricDefinition(
        unit="mentions per million words (Han characters in Chinese)",
        means="0 means the group is never mentioned. Compare groups within a language only: "
        "lists differ in length.",
        interval="95 %, ratio estimator over documents",
        null=None,
    ),
    "mentions.pronoun_log_ratio": MetricDefinition(
        unit="log(female pronouns / male pronouns)",
        means="0 means as many of one as of the other; -0.69 means half as many female as male "
        "ones.",
        interval="95 %, linearised over documents",
        null=0.0,
    ),
    "associations.log_odds": MetricDefinition(
        unit="log-odds ratio with an informative Dirichlet prior (Monroe et al. 2008)",
        means="0 means the term is as usual in sentences that mention only the first group as "
        "in those that mention only "
        "the second; above 0 it leans to the first.",
        interval="95 %, the larger of Monroe's variance and the variance over documents; z is "
        "Monroe's alone",
        null=0.0,
    ),
    "associations.ppmi": MetricDefinition(
        unit="bits",
        means="0 means group and term share sentences no more often than by chance; null where "
        "seen too rarely.",
        interval="none: read it beside the counts",
        null=0.0,
    ),
    "rules.risk_ratio": MetricDefinition(
        unit="drop rate of documents that mention the group / drop rate of those that do not",
        means="1 means the rule drops both equally often.",
        interval="95 %, log scale (Katz)",
        null=1.0,
    ),
    "rules.stratified_risk_ratio": MetricDefinition(
        unit="Mantel-Haenszel risk ratio over source x language x length",
        means="1 means the rule drops both equally often once documents of one source, "
        "language and length are compared.",
        interval="95 %, Greenland and Robins; null where fewer than 5 drops are expected on "
        "either side",
        null=1.0,
    ),
    "rules.pass_ratio": MetricDefinition(
        unit="pass rate of documents that mention the group / pass rate of the others",
        means="1 means equal. Below 0.8 (the four-fifths rule) is a warning to look, not a "
        "verdict.",
        interval="95 %, log scale (Katz)",
        null=1.0,
    ),
    "models.causal_sum.preference": MetricDefinition(
        unit="share of pairs whose stereotype is likelier",
        means="0.5 means no preference, or that one word always wins: read it with the "
        "constant choice. "
        "Scorer: log-likelihood of the whole sentence behind a begin token. "
        "The pairs of equal token count come first: a sum favours the shorter sentence.",
        interval="95 %, bootstrap over templates and words at once, never narrower than Wilson's",
        null=0.5,
    ),
    "models.mlm_pll_shared.preference": MetricDefinition(
        unit="share of pairs whose stereotype is likelier",
        means="0.5 means no preference, or that one word always wins: read it with the "
        "constant choice. "
        "Scorer: pseudo-log-likelihood of the tokens both sentences share, one masked at "
        "a time. Not comparable with causal_sum. A word of several tokens is guessed "
        "from its own other pieces.",
        interval="95 %, bootstrap over templates and words at once, never narrower than Wilson's",
        null=0.5,
    ),
    "models.by_favoured_group": MetricDefinition(
        unit="share of the pairs stereotyped for one group in which the stereotype is likelier",
        means="Near 1 for one group and near 0 for the other means that the first group's word "
        "wins in every context.",
        interval="95 %, Wilson over pairs",
        null=0.5,
    ),
    "models.constant_choice": MetricDefinition(
        unit="share of couples of contexts (one stereotyped for each group, same template) "
        "with the same group's word picked in both",
        means="1 means that the same word always wins, whatever the context; 0.5 is chance; 0 "
        "means that the choice always "
        "changes with the context. Where p and q are the shares of the first group's "
        "word in contexts stereotyped for the "
        "first and for the second group, it is p q + (1 - p)(1 - q), averaged over "
        "templates by their pairs. A preference lies "
        f"at most (1 - constant choice) / 2 from 0.5 where both kinds of context are "
        f"equally many. From {INSENSITIVE} on a row is "
        "not measurable, unless its interval excludes 0.5.",
        interval="95 %, bootstrap over templates and words at once, never narrower than Wilson's",
        null=0.5,
    ),
    "models.detectable_effect": MetricDefinition(
        unit="distance from 0.5",
        means="A true preference nearer to 0.5 than this is missed more than one time in five "
        "with this many pairs "
        "(80 % power, alpha 0.05, effective n).",
        interval="none",
        null=None,
    ),
    "models.quality.word_order": MetricDefinition(
        unit="share of sentences likelier than the same words shuffled",
        means="0.5 means the model knows no word order. Unless the interval lies above 0.5 its "
        "preferences say nothing.",
        interval="95 %, Wilson",
        null=0.5,
    ),
}

LIMITS: tuple[str, ...] = (
    "Mentions are counted by word lists: names, roles and descriptions are not seen, and "
    "words with two senses are counted in both.",
    "Counts are over the text as annotated, before cuts and masks of `decide` are applied.",
    "An association is a sentence shared, not a statement made; negation and quotation "
    "are not seen.",
    "Documents in languages without lexicon are not scanned; their number is given.",
    "A difference in drop rates is a place to look. Strata hold source, language and "
    "length equal, and nothing else.",
    "Minimal pairs measure a preference between two wordings, not harm, and not what a "
    "model would write.",
    "No difference found is not fairness: read the detectable effect.",
    "A preference of 0.500 is no finding where the model picks the same word in every "
    "context; such rows are marked not measurable.",
)
