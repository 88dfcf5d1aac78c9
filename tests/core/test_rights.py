"""Rights: real-world spellings become SPDX ids, whatever is not certain stays `unknown`, and policies decide."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.rights.policy import (
    OPT_OUTS,
    POLICIES,
    SPDX_IDS,
    UNKNOWN,
    Refusal,
    RightsPolicy,
    normalize_licence,
    status_refusals,
    why_refused,
)

KNOWN = {
    # ids as SPDX writes them, in any case
    "CC-BY-SA-4.0": "CC-BY-SA-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "  CC0-1.0\n": "CC0-1.0",
    "apache-2.0": "Apache-2.0",
    "MIT": "MIT",
    "mit-0": "MIT-0",
    "PSF-2.0": "PSF-2.0",
    "odbl-1.0": "ODbL-1.0",
    # Creative Commons addresses, as rel=license, og:licence and MediaWiki's siteinfo give them
    "https://creativecommons.org/licenses/by-sa/4.0/": "CC-BY-SA-4.0",
    "http://creativecommons.org/licenses/by-sa/3.0/": "CC-BY-SA-3.0",
    "//creativecommons.org/licenses/by/2.5/": "CC-BY-2.5",
    "creativecommons.org/licenses/by/4.0": "CC-BY-4.0",
    "https://www.creativecommons.org/licenses/by-nc-nd/4.0/": "CC-BY-NC-ND-4.0",
    "https://creativecommons.org/licenses/by-nc-sa/2.0/": "CC-BY-NC-SA-2.0",
    "https://creativecommons.org/licenses/by-nd/1.0": "CC-BY-ND-1.0",
    "https://creativecommons.org/licenses/by-sa/4.0/deed.zh": "CC-BY-SA-4.0",
    "https://creativecommons.org/licenses/by-sa/4.0/deed.zh-hans": "CC-BY-SA-4.0",
    "https://creativecommons.org/licenses/by-sa/3.0/deed.zh_TW": "CC-BY-SA-3.0",
    "http://creativecommons.org/licenses/by/3.0/deed.de": "CC-BY-3.0",
    "https://creativecommons.org/licenses/by/4.0/legalcode": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by/4.0/legalcode.fr": "CC-BY-4.0",
    "https://creativecommons.org/licenses/by/4.0/?ref=chooser-v1": "CC-BY-4.0",
    "HTTPS://CreativeCommons.ORG/licenses/BY-SA/4.0/": "CC-BY-SA-4.0",
    "https://creativecommons.org/licences/by/4.0/": "CC-BY-4.0",
    '<a href="https://creativecommons.org/licenses/by/4.0/">CC BY</a>': "CC-BY-4.0",
    "https://creativecommons.org/publicdomain/zero/1.0/": "CC0-1.0",
    "https://creativecommons.org/publicdomain/zero/1.0/deed.zh": "CC0-1.0",
    "https://creativecommons.org/publicdomain/mark/1.0/": "CC-PDM-1.0",
    # ported versions are licences of their own
    "https://creativecommons.org/licenses/by/3.0/igo/": "CC-BY-3.0-IGO",
    "https://creativecommons.org/licenses/by/3.0/us/": "CC-BY-3.0-US",
    "http://creativecommons.org/licenses/by-sa/3.0/de/deed.en": "CC-BY-SA-3.0-DE",
    # names
    "CC BY-SA 3.0 / GFDL (Wikipedia text)": "CC-BY-SA-3.0",
    "CC BY-SA 3.0": "CC-BY-SA-3.0",
    "CC BY SA 4.0": "CC-BY-SA-4.0",
    "cc by-sa 4.0": "CC-BY-SA-4.0",
    "CC-BY 4.0": "CC-BY-4.0",
    "CC BY-NC-SA 4.0": "CC-BY-NC-SA-4.0",
    "CC BY-NC-ND 4.0": "CC-BY-NC-ND-4.0",
    "CC BY-ND 4.0": "CC-BY-ND-4.0",
    "CC BY 4.0 International": "CC-BY-4.0",
    "CC BY v4.0": "CC-BY-4.0",
    "Licensed under CC BY 4.0.": "CC-BY-4.0",
    "Except where otherwise noted, content on this site is licensed under CC BY 4.0": "CC-BY-4.0",
    "Creative Commons Attribution-Share Alike 4.0": "CC-BY-SA-4.0",
    "Creative Commons Attribution-Share Alike 3.0 Unported": "CC-BY-SA-3.0",
    "Creative Commons Attribution-ShareAlike 4.0 International License": "CC-BY-SA-4.0",
    "Creative Commons Attribution-ShareAlike License 4.0": "CC-BY-SA-4.0",
    "Text is available under the Creative Commons Attribution-ShareAlike 4.0 License;": "CC-BY-SA-4.0",
    "Creative Commons Attribution 4.0 International": "CC-BY-4.0",
    "Creative Commons Attribution-NonCommercial 4.0 International": "CC-BY-NC-4.0",
    "Creative Commons Attribution-NonCommercial-ShareAlike 3.0": "CC-BY-NC-SA-3.0",
    "Creative Commons Attribution-Noncommercial-No Derivative Works 3.0": "CC-BY-NC-ND-3.0",
    "Creative Commons Attribution Non-Commercial No Derivatives 4.0": "CC-BY-NC-ND-4.0",
    "Creative Commons Attribution-NoDerivs 3.0": "CC-BY-ND-3.0",
    "CC0": "CC0-1.0",
    "CC-0": "CC0-1.0",
    "CC0 1.0 Universal": "CC0-1.0",
    "Creative Commons CC0 License": "CC0-1.0",
    "CC Zero": "CC0-1.0",
    "Public Domain Mark 1.0": "CC-PDM-1.0",
    "Public domain": "CC-PDDC",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "http://www.apache.org/licenses/LICENSE-2.0": "Apache-2.0",
    "The MIT License": "MIT",
    "MIT License": "MIT",
    "The MIT License (MIT)": "MIT",
    "MIT (Expat)": "MIT",
    "https://opensource.org/licenses/MIT": "MIT",
    "https://opensource.org/license/mit/": "MIT",
    "https://www.gnu.org/copyleft/fdl.html": "GFDL-1.3-or-later",
    "http://www.gnu.org/licenses/fdl-1.3.html": "GFDL-1.3-or-later",
    "https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/": "OGL-UK-3.0",
}

NEAR_MISSES = [
    None,
    "",
    "   ",
    "unknown",
    "All rights reserved",
    "© 2024 Example",
    "proprietary",
    "see website",
    "null",
    "Creative Commons",
    "CC",
    "CC BY",
    "CC BY-SA",
    "CC BY-SA 5.0",
    "CC BY-SA 40",
    "CC BY-SA 4.05",
    "CC BY-SA 14.0",
    "CC-BY-SA-4.0.1",
    "CC SA 1.0",
    "CC BY-ND-SA 4.0",
    "CC BYE 4.0",
    "ACC BY 4.0",
    "CCBY 4.0x",
    "Creative Commons Attribution",
    "Attribution 4.0",
    "by-sa/4.0",
    "https://creativecommons.org/",
    "https://creativecommons.org/licenses/",
    "https://creativecommons.org/licenses/by/",
    "https://creativecommons.org/licenses/by/5.0/",
    "https://creativecommons.org/licenses/by/4.05/",
    "https://creativecommons.org/licenses/sampling+/1.0/",
    "https://creativecommons.org/licenses/by/3.0/xx/",
    "https://creativecommons.org/licenses/by-nc/3.0/igo/x-not-listed-port/",
    "https://notcreativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org.example/licenses/by/4.0/",
    "https://example.org/licenses/by/4.0/",
    "https://creativecommons.org/publicdomain/zero/2.0/",
    "1200 cc 0.5 l",
    "ACC0",
    "cc 01",
    "MIT OpenCourseWare",
    "MIT Press",
    "summit",
    "MIT (modified)",
    "MIT-like",
    "GFDL",
    "GNU Free Documentation License",
    "https://www.gnu.org/licenses/fdl-1.2.html",
    "https://www.gnu.org/licenses/gpl.html",
    "Apache",
    "Apache License 1.1",
    "apache 2.01",
    "Apache 12.0",
    "Public domain in the United States only",
    "not in the public domain",
    "GPL",
    "BSD",
    "GPL-3.0-only AND Apache-2.0",
    "All rights reserved. Some pictures CC BY 4.0.",
    "open access",
    "fair use",
]


@pytest.mark.parametrize(("text", "expected"), KNOWN.items())
def test_a_known_spelling_becomes_its_spdx_id(text, expected):
    assert normalize_licence(text) == expected


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_text_that_names_no_licence_for_certain_is_unknown(text):
    assert normalize_licence(text) == UNKNOWN


@pytest.mark.parametrize("name", sorted(SPDX_IDS))
def test_every_spdx_id_of_the_vocabulary_is_itself_in_any_case(name):
    assert {
        normalize_licence(form) for form in (name, name.lower(), name.upper(), f" {name} ")
    } == {name}


@given(st.text(max_size=60))
def test_any_text_gives_an_id_of_the_vocabulary_or_unknown(text):
    assert normalize_licence(text) in SPDX_IDS | {UNKNOWN}


def cc_words(kind: str) -> list[str]:
    words = {"by": "Attribution", "nc": "NonCommercial", "sa": "ShareAlike", "nd": "NoDerivatives"}
    return [words[part] for part in kind.split("-")]


@pytest.mark.parametrize("kind", ["by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd"])
@pytest.mark.parametrize("version", ["1.0", "2.0", "2.5", "3.0", "4.0"])
@pytest.mark.parametrize("scheme", ["http://", "https://", "//", ""])
def test_every_creative_commons_licence_is_known_by_address_code_and_name(kind, version, scheme):
    spellings = [
        f"{scheme}creativecommons.org/licenses/{kind}/{version}/deed.zh",
        f"CC {kind.upper()} {version}",
        f"Creative Commons {'-'.join(cc_words(kind))} {version} Generic",
    ]
    assert {normalize_licence(text) for text in spellings} == {f"CC-{kind.upper()}-{version}"}


@given(
    st.sampled_from([k for k in KNOWN if k.startswith("http")]),
    st.sampled_from(["", " ", "\n", '"']),
)
def test_what_stands_around_an_address_does_not_matter(text, around):
    assert normalize_licence(f"{around}{text}{around}") == KNOWN[text]


def test_the_first_creative_commons_licence_of_a_text_wins():
    assert normalize_licence("CC BY-SA 3.0, earlier CC BY 2.0") == "CC-BY-SA-3.0"


def test_a_policy_without_a_list_allows_every_licence():
    policy = RightsPolicy()
    assert why_refused("CC-BY-NC-ND-4.0", [], policy) is None
    assert why_refused(UNKNOWN, [], policy) is None


def test_unknown_is_the_policys_choice():
    assert why_refused(UNKNOWN, [], RightsPolicy(allow_unknown=False)) == "licence"
    assert why_refused(UNKNOWN, [], RightsPolicy(licences=("MIT",), allow_unknown=True)) is None


@pytest.mark.parametrize("refusal", OPT_OUTS)
def test_every_stated_refusal_binds_where_the_policy_honours_it(refusal):
    assert why_refused("CC0-1.0", [refusal], POLICIES["strict-eu"]) == "opt_out"
    assert why_refused("CC0-1.0", [refusal], POLICIES["open-licence-only"]) == "opt_out"
    assert why_refused("CC0-1.0", [refusal], POLICIES["research"]) is None


def test_a_refusal_is_told_before_a_licence():
    assert why_refused(UNKNOWN, ["noai"], POLICIES["open-licence-only"]) == "opt_out"


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("CC0-1.0", True),
        ("CC-BY-4.0", True),
        ("CC-BY-3.0-US", True),
        ("CC-BY-SA-3.0", True),
        ("CC-PDDC", True),
        ("CC-PDM-1.0", True),
        ("MIT", True),
        ("MIT-0", True),
        ("Apache-2.0", True),
        ("GFDL-1.3-or-later", True),
        ("PSF-2.0", True),
        ("CC-BY-NC-4.0", False),
        ("CC-BY-ND-4.0", False),
        ("CC-BY-NC-SA-4.0", False),
        ("CC-BY-NC-ND-4.0", False),
        (UNKNOWN, False),
    ],
)
def test_the_open_policy_takes_licences_that_permit_reuse_and_change(licence, allowed):
    assert (why_refused(licence, [], POLICIES["open-licence-only"]) is None) == allowed


@pytest.mark.parametrize(
    ("account", "status", "refusals"),
    [
        ({}, {}, []),
        ({"discoverable": True, "indexable": True, "noindex": False}, {"visibility": "public"}, []),
        (
            {"discoverable": None, "indexable": None, "noindex": None, "note": None},
            {"visibility": None},
            [],
        ),
        ({"discoverable": False}, {}, [("not-discoverable", "account.discoverable", "false")]),
        ({"indexable": False}, {}, [("not-indexable", "account.indexable", "false")]),
        ({"noindex": True}, {}, [("noindex", "account.noindex", "true")]),
        ({}, {"visibility": "unlisted"}, [("not-indexable", "visibility", "unlisted")]),
        ({}, {"visibility": "private"}, [("not-indexable", "visibility", "private")]),
        (
            {"note": '<p>hi <a href="/tags/nobot">#<span>NoBot</span></a></p>'},
            {},
            [("nobot", "account.note", "#NoBot")],
        ),
        (
            {"note": "<p>Painter</p><p>#nobots</p><p>Hello</p>"},
            {},
            [("nobot", "account.note", "#nobots")],
        ),
        (
            {"note": "#noindex, #noarchive; #noai."},
            {},
            [
                ("noindex", "account.note", "#noindex"),
                ("noindex", "account.note", "#noarchive"),
                ("noai", "account.note", "#noai"),
            ],
        ),
        ({"note": "#nobot #nobot"}, {}, [("nobot", "account.note", "#nobot")]),
        ({"note": "<p>I am a snobot fan, my page https://x/noindex-guide</p>"}, {}, []),
        ({"note": "I like #nobottles and #noaim, and nobot is a word"}, {}, []),
        ("gone", {}, []),
        (None, {}, []),
    ],
)
def test_refusals_of_a_status_are_told_with_what_they_were_read_from(account, status, refusals):
    assert status_refusals({"account": account} | status) == [
        Refusal(*refusal) for refusal in refusals
    ]


@given(
    st.dictionaries(
        st.sampled_from(["account", "visibility"]),
        st.text()
        | st.dictionaries(
            st.sampled_from(["note", "discoverable", "indexable", "noindex"]),
            st.text() | st.booleans(),
        ),
    )
)
def test_refusals_of_any_status_are_of_the_vocabulary(status):
    assert {refusal.word for refusal in status_refusals(status)} <= set(OPT_OUTS)
