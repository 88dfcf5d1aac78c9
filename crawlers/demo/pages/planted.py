"""The planted cases of the demo site: where each is served, and what must become of it."""

from __future__ import annotations

from dataclasses import dataclass

# The logical origins: names, not addresses. A crawl maps them to the loopback port, so the stored
# URLs are the same every time.
WIKI = "http://wiki.demo.test"
NEWS = "http://news.demo.test"
SOCIAL = "http://social.demo.test"
DOWN = "http://down.demo.test"

HOSTS = tuple(origin.removeprefix("http://") for origin in (WIKI, NEWS, SOCIAL, DOWN))


@dataclass(frozen=True, slots=True)
class Planted:
    """One planted case: the source and locator (URL, wiki page or status) it is served under and what must become of it.

    `step` names who decides: `crawl` (never stored), `prepare` (dropped, cut or masked), or `kept` (must survive). Of a
    duplicate and its `original` one is kept, whichever the preparation prefers. Text with a `bad_charset` is recovered or
    dropped, as the extractor can.
    """

    name: str
    source: str
    locator: str
    step: str
    outcome: str
    original: str | None = None


def _news(name: str, path: str, step: str, outcome: str, original: str | None = None) -> Planted:
    return Planted(
        name, "demo-news", NEWS + path, step, outcome, NEWS + original if original else None
    )


def _social(
    name: str, number: int, step: str, outcome: str, original: str | None = None
) -> Planted:
    return Planted(
        name, "demo-social", f"{SOCIAL}/@{name}/{make_status_id(number)}", step, outcome, original
    )


def _wiki(name: str, title: str, outcome: str, original: str | None = None) -> Planted:
    return Planted(
        name, "demo-wiki-en", f"{WIKI}/wiki/{title.replace(' ', '_')}", "prepare", outcome, original
    )


def make_status_id(number: int) -> str:
    """The id of a status: like Mastodon's, a long number that grows with time."""
    return str(113_000_000_000_000_000 + number * 1_000_003)


FIRST_ARTICLE = "/news/high-water-on-the-sorn-and-other-news-maria-kowal-2006.html"
FIRST_CHINESE = "/news/zh-news-0.html"

PLANTED: tuple[Planted, ...] = (
    _news(
        "exact_duplicate", "/planted/exact-copy.html", "prepare", "exact_duplicate", FIRST_ARTICLE
    ),
    _news("near_duplicate", "/planted/near-copy.html", "prepare", "near_duplicate", FIRST_ARTICLE),
    _news(
        "near_duplicate_zh",
        "/planted/near-copy-zh.html",
        "prepare",
        "near_duplicate",
        FIRST_CHINESE,
    ),
    _news("noai_header", "/planted/noai-header.html", "prepare", "opt_out"),
    _news("noai_meta", "/planted/noai-meta.html", "prepare", "opt_out"),
    _news("tdm_header", "/planted/tdm-header.html", "prepare", "opt_out"),
    _news("tdm_meta", "/planted/tdm-meta.html", "prepare", "opt_out"),
    _news("noindex_header", "/planted/noindex.html", "prepare", "opt_out"),
    _news("paywall", "/planted/paywall.html", "prepare", "opt_out"),
    _news("too_short", "/planted/too-short.html", "prepare", "too_short"),
    _news("symbols", "/planted/symbols.html", "prepare", "gopher"),
    _news("link_farm", "/planted/link-farm.html", "prepare", "gopher"),
    _news("repetition", "/planted/repetition.html", "prepare", "gopher"),
    _news("language_de", "/planted/sprache.html", "prepare", "language"),
    _news("language_fr", "/planted/langue.html", "prepare", "language"),
    _news("pii_en", "/planted/contact.html", "prepare", "pii"),
    _news("pii_zh", "/planted/contact-zh.html", "prepare", "pii"),
    _news("bad_charset", "/planted/bad-charset.html", "prepare", "bad_charset"),
    _news("unknown_charset", "/planted/unknown-charset.html", "prepare", "bad_charset"),
    _news("truncated", "/planted/truncated.html", "prepare", "extraction_failed"),
    _news("empty", "/planted/empty.html", "prepare", "extraction_failed"),
    _news("missing", "/planted/missing.html", "crawl", "http_404"),
    _news("broken", "/planted/server-error.html", "crawl", "http_500"),
    _news("cut_off", "/planted/cut-off.html", "crawl", "dataloss"),
    _news("redirected", "/planted/moved.html", "kept", "redirect"),
    _news("busy", "/planted/busy.html", "kept", "retry_after"),
    _news("disallowed", "/private/minutes.html", "crawl", "robots"),
    Planted("robots_unreachable", "demo-down", f"{DOWN}/news.html", "crawl", "unreachable"),
    _wiki("redirect_page", "Old Millbrook", "redirect"),
    _wiki("stub_page", "Weir Lane", "too_short"),
    _wiki("hidden_revision", "Removed page", "extraction_failed"),
    _wiki("duplicate_page", "Millbrook (town)", "exact_duplicate", f"{WIKI}/wiki/Millbrook"),
    _social("hidden_account", 901, "prepare", "opt_out"),
    _social("not_indexable", 902, "prepare", "opt_out"),
    _social("noindex_account", 903, "prepare", "opt_out"),
    _social("nobot_bio", 904, "prepare", "opt_out"),
    _social("unlisted", 905, "prepare", "opt_out"),
    _social("repost", 906, "prepare", "exact_duplicate", f"{SOCIAL}/@writer_0/{make_status_id(0)}"),
    _social("contact_post", 907, "prepare", "pii"),
    _social("tiny_post", 908, "prepare", "too_short"),
    _social("broken_item", 909, "prepare", "extraction_failed"),
    _social("german_post", 910, "prepare", "language"),
)

GERMAN = (
    "Die Brücke über den Fluss wurde im Herbst für den Verkehr gesperrt, weil ein Pfeiler"
    " sich um mehrere Zentimeter gesenkt hatte.",
    "Die Anwohner müssen seitdem einen Umweg von fast einer halben Stunde fahren, und die"
    " Schulbusse kommen regelmäßig zu spät.",
    "Der Gemeinderat will in der nächsten Sitzung entscheiden, ob die alte Brücke gerettet"
    " oder durch eine neue ersetzt werden soll.",
    "Eine Ingenieurin aus der Kreisstadt hat beide Möglichkeiten geprüft und hält die"
    " Rettung für teurer, aber auch für schöner.",
    "Bis dahin fährt eine kleine Fähre, die morgens und abends voll besetzt ist und bei"
    " Hochwasser am Ufer liegen bleibt.",
    "Viele Leute im Ort sagen, dass sie sich an die Fähre gewöhnt haben und das Gespräch auf"
    " dem Wasser vermissen würden.",
)
FRENCH = (
    "La boulangerie de la place a fermé ses portes après quarante ans, et les habitants"
    " cherchent quelqu'un pour la reprendre.",
    "Le maire propose un loyer très bas pendant deux ans, à condition que le four reste"
    " allumé six jours par semaine.",
    "Une jeune femme venue de la ville s'est présentée, mais elle voudrait aussi ouvrir une"
    " petite librairie dans la même salle.",
    "Les anciens clients ne sont pas tous d'accord, car ils craignent que la farine et les"
    " livres ne fassent pas bon ménage.",
    "En attendant, une camionnette passe le mardi et le vendredi, et l'on attend sous la"
    " pluie avec des sacs en toile.",
    "La décision sera prise avant la fin du mois, lors d'une réunion ouverte à tous dans la"
    " salle des fêtes.",
)
REPEATED = (
    "The harbour office reminds all visitors that the small gate closes at nine in the evening"
    " and opens again at six."
)
CONTACT = (
    "The repair café in the old fire station opens again on the first Saturday of the month,"
    " and everything with a plug or a seam is welcome.",
    "Whoever wants to help with bicycles should write to anna.petrenko@example.org or call"
    " +44 20 7946 0958 in the evening.",
    "Last year the volunteers mended four hundred toasters, lamps and coats, and they"
    " weighed what did not go to the tip.",
    "The booking server at 203.0.113.77 was slow in the first week, so a paper list hangs"
    " beside the door as well.",
    "Coffee is free, cake costs what you think it is worth, and children may take apart one"
    " broken radio each.",
    "A retired electrician checks every machine before it goes home, and he is known to be"
    " strict about cables.",
)
CONTACT_ZH = (
    "老消防站里的修理铺从这个月第一个星期六起重新开门，带插头的、带线缝的东西都可以拿来修。",
    "想帮忙修自行车的人，请在晚上打电话13800138000，或者写信到 xiulan@example.org 报名。",
    "去年大家一共修好了四百件烤面包机、台灯和大衣，没有送去垃圾场的东西都称了分量。",
    "登记表上有人误填了自己的身份证号{resident}，管理员发现以后已经把那一页撕掉了。",
    "茶水不要钱，点心随便给，每个孩子可以拆一台坏收音机。",
    "一位退休的电工在东西送回家之前都要检查一遍，对电线他从来不马虎。",
)


def add_check_digit(first_seventeen: str) -> str:
    """Append the check digit of a Chinese resident id (ISO 7064, MOD 11-2)."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    digits = [int(digit) for digit in first_seventeen]
    total = sum(digit * weight for digit, weight in zip(digits, weights, strict=True))
    return first_seventeen + "10X98765432"[total % 11]


# A birthday in 2089: the id belongs to nobody.
RESIDENT_ID = add_check_digit("11010120891231002")
