import json
import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from arena.rendering import (
    HIGHLIGHT_CLASSES,
    LANGUAGES,
    MAX_ANSWER,
    MAX_HTML,
    BlockRenderer,
    answers,
)
from arena.rendering import code as code_module
from arena.rendering import render as render_answer
from arena.rendering.markdown import MARKDOWN, MAX_ADDRESS, MAX_BLOCK

# Written out once more, on purpose: what may reach a page is not for the renderer to say.
MATHML = {
    *("math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot"),
    *("mrow", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext"),
    *("mtr", "munder", "munderover"),
}
TAGS = MATHML | {
    *("p", "h3", "h4", "h5", "h6", "hr", "br", "blockquote", "ol", "ul", "li", "div", "pre"),
    *("a", "code", "em", "s", "span", "strong", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"href", "rel", "target", "start", "tabindex", "class"}
MATHML_ATTRIBUTES = {
    *("accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth", "display"),
    *("displaystyle", "fence", "form", "height", "linethickness", "lspace", "mathvariant"),
    *("maxsize", "minsize", "notation", "rowlines", "rowspacing", "rspace", "scriptlevel"),
    *("stretchy", "voffset", "width"),
}
CLASSES = HIGHLIGHT_CLASSES | {
    *("code", "code-head", "formula", "table", "plain", "center", "left", "right"),
}


class Page(HTMLParser):
    """The tags and texts of a piece of HTML."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags = []  # (name, {attribute: value})
        self.text = ""
        self.outline = []  # tags opened and closed, and the words between them
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.outline.append(f"<{tag}>")

    def handle_endtag(self, tag):
        self.outline.append(f"</{tag}>")

    def handle_data(self, data):
        self.text += data
        self.outline.append(data)

    def handle_comment(self, data):
        self.tags.append(("comment", {}))

    handle_decl = handle_pi = unknown_decl = handle_comment

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def what_is_not_allowed(html):
    for tag, attributes in Page(html).tags:
        if tag not in TAGS:
            yield tag
        for name, value in attributes.items():
            if name not in (MATHML_ATTRIBUTES if tag in MATHML else ATTRIBUTES):
                yield f"{tag} {name}"
            if name == "class" and not set(value.split()) <= CLASSES:
                yield f"class {value}"
            if name == "href" and not re.match("https?://|mailto:", value, re.IGNORECASE):
                yield value


def render(text):
    """The HTML of an answer, which is safe whatever the test is about."""
    html = render_answer(text)
    assert not list(what_is_not_allowed(html)), text
    return html


def stream(text, size):
    """The blocks finished on the way, and what is left in the end."""
    renderer = BlockRenderer()
    blocks = []
    for start in range(0, len(text), size):
        blocks += renderer.feed(text[start : start + size])
    return blocks, renderer.tail


def lines_of(path):
    with path.open() as lines:
        return [json.loads(line) for line in lines]


# --- Markdown ------------------------------------------------------------------------------------


def test_markdown_becomes_html():
    html = render("Some *stressed* and **strong** and ~~struck~~ `code`.\n\n> quoted\n\n3. three\n")
    assert html == (
        "<p>Some <em>stressed</em> and <strong>strong</strong> and <s>struck</s>"
        " <code>code</code>.</p>\n"
        "<blockquote>\n<p>quoted</p>\n</blockquote>\n"
        '<ol start="3">\n<li>three</li>\n</ol>\n'
    )


def test_raw_html_is_shown_as_text():
    html = render("a <b onclick=x>bold</b> claim\n\n<script>alert(1)</script>\n\n<!-- c -->")
    assert {tag for tag, _ in Page(html).tags} == {"p"}
    assert "<b onclick=x>bold</b>" in Page(html).text
    assert "<script>alert(1)</script>" in Page(html).text


def test_headings_of_an_answer_stand_below_those_of_the_page():
    html = render("# one\n## two\n### three\n#### four\n##### five\n###### six\n\nSetext\n===\n")
    assert re.findall(r"<(h\d)>", html) == ["h3", "h4", "h5", "h6", "h6", "h6", "h3"]


def test_a_table_can_scroll_and_aligns_without_style():
    html = render("|a|b|c|\n|:-|:-:|-:|\n|1|2|3|\n")
    assert html.startswith('<div class="table" tabindex="0"><table>')
    cells = [attributes["class"] for attributes in Page(html).all("td")]
    assert cells == ["left", "center", "right"]


@pytest.mark.parametrize(
    "url", ["https://example.org/a?b=c", "HTTP://example.org/", "mailto:a@b.c"]
)
def test_a_link_leads_off_the_site_and_vouches_for_nothing(url):
    (link,) = Page(render(f'[text]({url} "a title")')).all("a")
    assert link == {"href": url, "rel": "nofollow noopener ugc", "target": "_blank"}


@pytest.mark.parametrize(
    "url", ["/vote", "//example.org/x", "#top", "?a", "ftp://a/b", "tel:1", "HTTP:/x", "vote"]
)
def test_a_link_to_anywhere_else_is_only_text(url):
    html = render(f"[text]({url}) <x:y>")
    assert not Page(html).all("a")
    assert "text" in Page(html).text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///x"]
)
def test_a_link_that_would_run_something_stays_as_written(url):
    assert render(f"[text]({url})") == f"<p>[text]({url})</p>\n"


def test_an_image_becomes_a_link_so_that_nothing_is_fetched():
    page = Page(render("![a cat](https://example.org/cat.png) ![](https://example.org/x.png)"))
    assert [tag for tag, _ in page.tags] == ["p", "a", "a"]
    assert page.text.split() == ["a", "cat", "image"]


def test_an_image_within_a_link_or_of_this_site_is_its_description():
    page = Page(render("[![a cat](https://a.example/1)](https://b.example/) ![a dog](/dog.png)"))
    assert [attributes["href"] for attributes in page.all("a")] == ["https://b.example/"]
    assert page.text.split() == ["a", "cat", "a", "dog"]


def normal(html):
    """Structure and words, without what this site adds to the HTML of the specification."""
    html = re.sub(r'<div class="code-head">.*?</div>', "", html)
    html = re.sub(r"</?(?:div|span|a)\b[^>]*>", "", html)
    return re.findall(r"<[a-z]+\d?|</[a-z]+\d?>|\w+|[^\w\s]", "".join(Page(html).outline))


def as_this_site_shows(reference):
    """The HTML of the specification with this site's headings and images."""
    reference = re.sub(r"<(hr|br) />", r"<\1>", reference)
    reference = re.sub(r'<img [^>]*?alt="([^"]*)"[^>]*>', lambda m: m[1] or "image", reference)
    return re.sub(r"(</?h)(\d)>", lambda m: f"{m[1]}{min(6, int(m[2]) + 2)}>", reference)


def test_it_is_commonmark(shared_data):
    items = lines_of(shared_data / "hostile" / "commonmark_spec.jsonl")
    # The specification passes HTML through, links to any scheme, and \\[ is an escape in it.
    other = re.compile(r"<[a-z!?/]|\\\[.*\\\]", re.IGNORECASE)
    comparable = [item for item in items if not other.search(item["markdown"])]
    assert len(comparable) > 350
    differing = [
        (item["n"], item["section"])
        for item in comparable
        if normal(render(item["markdown"])) != normal(as_this_site_shows(item["html"]))
    ]
    assert differing == []


# --- code ----------------------------------------------------------------------------------------


def test_code_is_coloured_by_classes_under_the_name_of_its_language():
    html = render('```python\ndef f(x):\n    return "<b>"  # why\n```\n')
    assert '<div class="code"><div class="code-head"><span>python</span></div>' in html
    assert '<pre tabindex="0"><code><span class="k">def' in html
    assert '<span class="nf">f</span>' in html
    assert '<span class="s">"&lt;b&gt;"' in html
    assert '<span class="c"># why' in html


@pytest.mark.parametrize("info", ["", "klingon", "<img>", "python3.11 x=1", "a" * 200, "C++", "&"])
def test_code_is_shown_to_the_letter_whatever_its_language(info):
    code = "if a < b && c:\n\n\tx = '&amp;'  \n"
    page = Page(render(f"```{info}\n{code}```\n"))
    assert page.text.endswith(code + "\n")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_offered_has_a_lexer_that_keeps_the_code(language):
    code = "\n  # x = 'y' /* z */ <a b=\"c\">\n@if (a) { return 1.5 } // $d\n-e\n+f\n\n"
    html = code_module.highlighted(code, language)
    assert code_module._lexer(language) is not None
    assert Page(html).text == code


def test_a_lexer_that_fails_leaves_the_code_plain(monkeypatch):
    class Broken:
        def get_tokens(self, code):
            raise IndexError

    monkeypatch.setattr(code_module, "_lexer", lambda language: Broken())
    assert "<code>a &lt; b\n</code>" in render("```python\na < b\n```")


def test_code_that_takes_too_long_to_colour_is_complete_all_the_same(monkeypatch):
    monkeypatch.setattr(code_module, "HIGHLIGHT_SECONDS", -1)
    code = "def f(): pass\n" * 20
    page = Page(render(f"```python\n{code}```"))
    assert len(page.all("span")) == 2  # the language and one keyword
    assert page.text == f"python{code}\n"


def test_long_code_stays_without_colours():
    page = Page(render("```python\n" + "x = 1\n" * (MAX_BLOCK // 6 + 1) + "```"))
    assert len(page.all("span")) == 1


# --- formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["$x^2$", r"\(x^2\)"])
def test_a_formula_in_a_line_becomes_mathml(formula):
    html = render(f"so {formula}.")
    assert html == (
        '<p>so <math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>.</p>\n'
    )


@pytest.mark.parametrize(
    "formula", ["$$x$$", r"\[x\]", "$$\nx\n$$", "\\[\nx\n\\]", "  $$\n  x\n  $$"]
)
def test_a_formula_on_lines_of_its_own_becomes_a_block(formula):
    assert render(f"so\n{formula}\nthen") == (
        "<p>so</p>\n"
        '<div class="formula" tabindex="0">'
        '<math display="block"><mrow><mi>x</mi></mrow></math></div>\n'
        "<p>then</p>\n"
    )


def test_a_line_of_a_formula_is_not_an_item_of_a_list():
    page = Page(render("$$\na\n- b\n+ c\n$$\n\n- item\n\n  \\[\n  d\n  \\]\n"))
    assert len(page.all("li")) == 1
    assert len(page.all("math")) == 2


@pytest.mark.parametrize(
    "text",
    [
        "costs $5 and $10",
        "from $5 to 6$7",
        r"a \$x\$ b",
        "one $ alone",
        "`$x$`",
        "$$ never closed",
        "\\[\nbroken\n\nby a blank line",
    ],
)
def test_what_is_not_a_formula_stays_text(text):
    assert "<math" not in render(text)


@pytest.mark.parametrize(
    "latex",
    [
        r"\begin{matrix} a",
        "{" * 900,
        r"\left(",
        r"\right)",
        r"\begin{x",
        r"\frac",
        "x_1_2",
        r"\color",
        "x+" * 600 + "x",
    ],
)
def test_a_formula_that_cannot_be_converted_is_shown_as_written(latex):
    page = Page(render(f"before $${latex}$$ after"))
    assert "math" not in {tag for tag, _ in page.tags}
    assert page.text == f"before $${latex}$$ after\n"


def test_a_tag_in_a_formula_is_text_and_takes_nothing_in():
    page = Page(render("$\\text{<img src=x onerror=alert(1)><p>}$\n\nnext\n"))
    assert [tag for tag, _ in page.tags] == ["p", "math", "mrow", "mtext", "p"]
    assert "onerror=alert(1)" in page.text


# --- bounds --------------------------------------------------------------------------------------


def is_plain(html, text):
    page = Page(html)
    return page.tags == [("pre", {"class": "plain", "tabindex": "0"})] and page.text == text + "\n"


def test_a_very_long_answer_is_shown_as_written():
    text = "**x** <b>\n\n" * (MAX_ANSWER // 11 + 1)
    assert is_plain(render(text), text.strip())
    assert "<strong>" in render(text[:MAX_ANSWER])


def test_a_long_paragraph_is_shown_as_written_and_its_neighbours_are_not():
    paragraph = "*word* " * (MAX_BLOCK // 7 + 1)
    page = Page(render(f"*a*\n\n{paragraph}\n\n*b*"))
    assert [tag for tag, _ in page.tags] == ["p", "em", "pre", "p", "em"]
    assert paragraph in page.text


def test_an_answer_that_would_fill_megabytes_is_shown_as_written():
    definition = f"[a]: https://example.org/{'u' * 1_900}\n\n"
    paragraph = "[a]" * 250 + "\n\n"
    text = definition + paragraph * 39
    assert is_plain(render(text), text.strip())
    blocks, _ = stream(text, 50)
    assert len(blocks) == 39
    assert len("".join(blocks)) < 2 * MAX_HTML
    assert Page(blocks[0]).all("a")
    assert is_plain(blocks[-1], paragraph.strip())


def test_a_link_to_a_very_long_address_is_only_text():
    html = render(f"[text](https://example.org/{'u' * MAX_ADDRESS})")
    assert html == "<p>text</p>\n"


def test_a_list_may_be_longer_than_a_paragraph():
    page = Page(render("- an *item*\n" * 1_000))
    assert len(page.all("em")) == 1_000


@pytest.mark.parametrize(
    "text",
    [
        "> " * 40 + "deep",
        "- " * 20 + "deep",
        "".join("  " * depth + f"- level {depth}\n" for depth in range(30)) + " " * 60 + "deep",
        "[" * 300 + "deep",
    ],
)
def test_what_is_nested_too_deep_is_shown_as_written(text):
    assert is_plain(render(text), text)


def test_nesting_as_people_use_it_is_rendered():
    page = Page(render("".join("  " * depth + f"- level {depth}\n" for depth in range(9))))
    assert len(page.all("li")) == 9


def test_a_failure_of_our_own_shows_the_answer_as_written(monkeypatch):
    monkeypatch.setattr(answers, "to_html", lambda tokens, env: 1 / 0)
    assert is_plain(render("*a*"), "*a*")
    blocks, tail = stream("*a*\n\n*b*", 1)
    assert is_plain("".join(blocks), "*a*")
    assert tail == "*b*"


def pathological(item):
    if "nested_list" in item:
        return "".join("  " * depth + "* a\n" for depth in range(item["nested_list"]))
    if "ramp" in item:
        return "".join("e" + "`" * length for length in range(1, 300))
    return "".join(unit * count for unit, count in item["parts"])


MOST_TIMES = 30  # what an ordinary answer of that size costs
EVERYDAY = "The sky is *blue*, and `air` scatters short waves more than long ones.\n\n" * 600
LARGEST_PAGE = 8_000_000


@pytest.mark.parametrize("size", [MAX_BLOCK, MAX_ANSWER])
def test_pathological_markdown_costs_a_bounded_time(shared_data, size):
    texts = {
        item["name"]: pathological(item)
        for item in lines_of(shared_data / "hostile" / "markdown_pathological.jsonl")
    } | {
        "wide table": "|a" * 2_000 + "\n" + "|-" * 2_000 + "\n" + "|a\n" * 20_000,
        "lazy quotes": ">" * 18 + "a\n" + "b\n" * 20_000,
        "long references": f"[a]: http://{'u' * 9_000}\n\n" + ("[a]" * 250 + "\n\n") * 40,
        "images": "![" * 20_000,
        "formulas": ("$" + "x+" * 499 + "x$\n\n") * 40,
        "newlines of C": "```c\n" + "\n" * 8_000 + "```\n",
        "generics of C#": "```c#\n" + "a\n" * 4_000 + "```\n",
    }
    ordinary, _ = cost_of_showing(EVERYDAY[:size])
    for name, text in texts.items():
        cost, html = cost_of_showing(text[:size])
        assert cost < MOST_TIMES * ordinary, name
        assert len(html) < LARGEST_PAGE, name


def cost_of_showing(text):
    """Processor time of showing an answer while it streams and once it is whole; and its HTML."""
    began = time.process_time()
    html = render(text)
    renderer = BlockRenderer()
    for line in text.splitlines(keepends=True):
        renderer.feed(line)
    return time.process_time() - began, html


# --- streaming -----------------------------------------------------------------------------------

ORDINARY = """\
# Title

A paragraph with *stress*,
over two lines. $x^2$
## Section
- one
- two

  still two

    and code?
- three

1. other
2. list

Text after a list.
> quote
lazy

```python
def f():

    return 1
```
After code
***
| a | b |
|---|---|
| 1 | 2 |

$$
x
- y
$$

    indented

    code

[site]: https://example.org 'a
title'
See [site].

- item
  ```
  fenced

  in item
  ```

Tilde:
   ~~~~
   tilde
~~~

# not a heading
   ~~~~
**Bold**

Setext
------
"""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40, 10_000])
def test_blocks_one_by_one_show_what_the_whole_shows(size):
    blocks, tail = stream(ORDINARY + "\nlast words", size)
    assert "".join(blocks) == render(ORDINARY)
    assert tail == "last words"


def test_each_block_is_finished_as_soon_as_it_is_certain():
    renderer = BlockRenderer()
    seen = []
    for character in "# a\nb\n\n- c\n\n- d\n\nE\n```\nf\n\n```\n> g\n\n1. h\n\nI":
        for block in renderer.feed(character):
            seen.append((character, re.findall(r"[a-zA-Z]\b(?![^<]*>)", block)))
    assert seen == [
        ("\n", ["a"]),
        ("\n", ["b"]),
        ("E", ["c", "d"]),
        ("\n", ["E"]),
        ("\n", ["f"]),
        ("\n", ["g"]),
        ("I", ["h"]),
    ]
    assert renderer.tail == "I"


def test_the_tail_is_what_was_written_after_the_last_block():
    renderer = BlockRenderer()
    assert renderer.feed("one\n\ntwo <b>") == ["<p>one</p>\n"]
    assert renderer.tail == "two <b>"
    assert renderer.feed(" three") == []
    assert renderer.tail == "two <b> three"


def test_a_reference_is_known_to_later_blocks_only_when_it_is_complete():
    blocks, tail = stream("[a]: https://one.example\n\n[a]: https://two.example\n\n[a]\n\n", 1)
    assert [link["href"] for link in Page("".join(blocks)).all("a")] == ["https://one.example"]
    assert tail == ""


def test_a_long_list_is_shown_as_written_while_it_streams():
    text = "- item\n" * 2_000
    blocks, tail = stream(text, 4)
    assert is_plain(blocks[0], text[: text.index("\n", MAX_BLOCK) + 1].rstrip())
    assert Page("".join(blocks)).text + tail == text


def test_text_within_a_line_is_not_parsed(monkeypatch):
    monkeypatch.setattr(answers, "MARKDOWN", None)
    renderer = BlockRenderer()
    renderer.feed("```\n\n")
    for _ in range(1_000):
        renderer.feed("word ")
        renderer.feed("line\n\n")
    assert len(renderer.tail) == len("```\n\n") + 1_000 * len("word line\n\n")


def test_every_character_is_parsed_a_bounded_number_of_times(monkeypatch):
    parsed = 0
    parse = MARKDOWN.parse

    def counting(text, env):
        nonlocal parsed
        parsed += len(text)
        return parse(text, env)

    monkeypatch.setattr(MARKDOWN, "parse", counting)
    texts = [
        "```\n" + "code\n\n# \n" * 2_000 + "```\n\n",
        "  ```\n" + "code\n\n# \n" * 2_000,
        "- item\n\n1. item\n\n" * 1_000,
        "> ```\n\n" * 2_000,
        "word\r```\ncode\n\n# \n" * 1_000,
        "$$\n# a\n" * 2_000,
    ]
    for text in texts:
        parsed = 0
        stream(text, 4)
        assert parsed < 3 * len(text), text[:10]


def without_references(markdown):
    """A link whose reference comes later is the exception that streaming makes."""
    return not re.search(r"\[[^\]]*\]:|\]:", markdown)


def test_what_streams_is_commonmark_too(shared_data):
    for item in lines_of(shared_data / "hostile" / "commonmark_spec.jsonl"):
        if without_references(item["markdown"]):
            blocks, tail = stream(item["markdown"], 3)
            whole = render(item["markdown"])
            assert "".join(blocks) + render(tail) == whole, item["markdown"]


words = st.sampled_from(
    ["plain words", "*a* **b**", "`c` $x$", "[l](https://a.example)", "<b>", "$5"]
)
items = st.sampled_from(["- ", "* ", "1. ", "2) ", "   - ", "  ", "    "])
block_texts = st.one_of(
    words,
    st.lists(words, min_size=1, max_size=3).map("\n".join),
    st.tuples(st.sampled_from(["# ", "### ", "> ", "    "]), words).map("".join),
    st.lists(st.tuples(items, words).map("".join), min_size=1, max_size=4).map("\n".join),
    st.tuples(
        st.sampled_from(["", "  ", "- "]),
        st.sampled_from(["```", "~~~~", "```py"]),
        st.lists(st.sampled_from(["x = 1", "", "# c", "- d", "```"]), max_size=4).map("\n".join),
    ).map(lambda t: f"{t[0]}{t[1]}\n{t[2]}\n{t[0]}{t[1].removesuffix('py')}"),
    st.sampled_from(
        [
            "|a|b|\n|-|-|\n|1|2|",
            "$$\nx\n- y\n$$",
            "\\[ z \\]",
            "---",
            "***",
            "Title\n===",
            "#",
            "- ",
            "> - q\n> - r",
        ]
    ),
)
documents = st.lists(
    st.tuples(block_texts, st.sampled_from(["\n", "\n\n", "\n \n\n", "\r\n\r\n"])), max_size=8
).map(lambda blocks: "".join(text + gap for text, gap in blocks))


@given(documents, st.integers(1, 30))
def test_any_markdown_shows_the_same_in_blocks_as_in_one(document, size):
    blocks, tail = stream(document, size)
    assert "".join(blocks) + render(tail) == render(document)


@example("# \r1\n1", 1)
@example("a\r\n\r\nb", 1)
@given(st.text(alphabet="ab \n\t\r#>-*`~$|[]()\\1.:'=_<&", max_size=120), st.integers(1, 9))
def test_any_characters_show_the_same_words_and_nothing_unsafe(text, size):
    renderer = BlockRenderer()
    html = ""
    for start in range(0, len(text), size):
        html += "".join(renderer.feed(text[start : start + size]))
    html += render(renderer.tail)
    assert not list(what_is_not_allowed(html))
    if without_references(text):
        assert html == render(text)


# --- hostile answers -----------------------------------------------------------------------------


def test_no_hostile_answer_gets_more_than_the_allowed_html(shared_data):
    payloads = [
        item["payload"] for item in lines_of(shared_data / "hostile" / "xss_payloads.jsonl")
    ]
    assert len(payloads) > 5_000
    found = {
        payload: refused
        for payload in payloads
        if (refused := list(what_is_not_allowed(render_answer(payload))))
    }
    assert found == {}


def test_the_check_for_hostile_html_finds_it():
    html = '<p onclick="x"><a href="javascript:y" class="evil">z</a><img src="w"><!-- c -->'
    assert list(what_is_not_allowed(html)) == [
        *("p onclick", "javascript:y", "class evil", "img", "img src", "comment"),
    ]


def test_naughty_strings_are_rendered_without_harm(shared_data):
    for item in lines_of(shared_data / "hostile" / "naughty_strings.jsonl"):
        render(item["s"])
        blocks, _ = stream(item["s"] + "\n\n", 5)
        assert not list(what_is_not_allowed("".join(blocks)))
