"""The allow-list that every rendered answer passes last."""

from __future__ import annotations

import nh3

from arena.rendering.code import HIGHLIGHT_CLASSES

MATHML = {
    "math": {"display"},
    "menclose": {"notation"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mn": set(),
    "mo": {"accent", "fence", "form", "lspace", "maxsize", "minsize", "rspace", "stretchy"},
    "mover": {"accent"},
    "mpadded": {"depth", "height", "voffset", "width"},
    "mphantom": set(),
    "mroot": set(),
    "mrow": set(),
    "mspace": {"width"},
    "msqrt": set(),
    "mstyle": {"displaystyle", "scriptlevel"},
    "msub": set(),
    "msubsup": set(),
    "msup": set(),
    "mtable": {"columnalign", "columnlines", "columnspacing", "rowlines", "rowspacing"},
    "mtd": {"columnalign"},
    "mtext": set(),
    "mtr": set(),
    "munder": {"accentunder"},
    "munderover": set(),
}
_HTML = {
    *("p", "h3", "h4", "h5", "h6", "hr", "br", "blockquote", "ol", "ul", "li", "div", "pre"),
    *("a", "code", "em", "s", "span", "strong"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}
CLEANER = nh3.Cleaner(
    tags=_HTML | set(MATHML),
    attributes={"a": {"href"}, "ol": {"start"}} | {t: a for t, a in MATHML.items() if a},
    tag_attribute_values={"div": {"tabindex": {"0"}}, "pre": {"tabindex": {"0"}}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    allowed_classes={
        "div": {"code", "code-head", "formula", "table"},
        "pre": {"plain"},
        "code": {"formula"},
        "span": set(HIGHLIGHT_CLASSES),
        "td": {"center", "left", "right"},
        "th": {"center", "left", "right"},
    },
    link_rel="nofollow noopener ugc",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)
