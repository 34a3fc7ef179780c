"""One web page that needs nothing else: its look, and the pieces it is put together from.

Every function takes plain text and returns HTML; plain text is escaped on the way. No script, no request:
the page's own security policy forbids both.
"""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

CSS = """
:root { color-scheme: light dark; --ground: #f3f5f8; --card: #fff; --ink: #1c2733; --quiet: #5d6978;
  --line: #e1e6ec; --accent: #0072b2; --warn: #b34700; --tint: #eef4f9; --shade: 213 94 0; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #11161c; --card: #1a2129; --ink: #e6ebf1; --quiet: #9aa7b5; --line: #2c3641;
    --accent: #62b5e8; --warn: #f0955a; --tint: #1f2a35; --shade: 235 110 20; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main, .bar { max-width: 1020px; margin: 0 auto; padding: 0 24px; }
main { padding-bottom: 48px; }
header { background: var(--card); border-top: 5px solid var(--accent); border-bottom: 1px solid var(--line);
  padding: 34px 0 26px; }
.hero { display: flex; gap: 32px; justify-content: space-between; align-items: flex-start; flex-wrap: wrap; }
.hero > div:first-child { flex: 1 1 440px; }
h1 { font-size: 34px; line-height: 1.15; margin: 0 0 6px; letter-spacing: -0.02em; overflow-wrap: anywhere; }
h1 span { color: var(--quiet); font-weight: 400; }
.about { margin: 0 0 14px; color: var(--quiet); }
.verdict { margin: 0; font-size: 17px; max-width: 62ch; }
.score { text-align: right; }
.score b { display: block; font-size: 54px; line-height: 1; letter-spacing: -0.03em; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.score span { color: var(--quiet); font-size: 14px; }
nav { border-bottom: 1px solid var(--line); background: var(--card); font-size: 14px; }
nav a { display: inline-block; padding: 10px 18px 10px 0; color: var(--accent); text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; margin-top: 22px;
  padding: 22px 26px 24px; }
h2 { font-size: 21px; margin: 0 0 10px; letter-spacing: -0.01em; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 0 0 12px; max-width: 92ch; }
.quiet, figcaption { color: var(--quiet); font-size: 14px; }
.warn { border-left: 4px solid var(--warn); border-radius: 0 6px 6px 0; padding: 8px 14px;
  background: var(--tint); }
.warn ul { margin: 0; padding-left: 20px; }
figure { margin: 0; }
figure.drawn { background: #fff; border-radius: 8px; padding: 10px; text-align: center; }
figure.drawn img { display: block; margin: 0 auto; max-width: 100%; height: auto; }
figure.drawn + p, .wide + p, .gallery + p, details + p { margin-top: 14px; }
section > p:last-child { margin-bottom: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 6px 16px 6px 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--quiet); }
tr:last-child > * { border-bottom: 0; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.few { width: auto; min-width: 45%; }
tr.first td.number { font-weight: 700; }
td code { overflow-wrap: anywhere; }
td:first-child code, .origin { white-space: nowrap; }
td .meter { margin-top: 8px; }
code, pre { font: 13px/1.6 ui-monospace, Menlo, Consolas, monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: 14px 16px;
  border: 1px solid var(--line); border-radius: 8px; }
.gallery { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
.gallery.texts { grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); }
.gallery figure { border: 1px solid var(--line); border-radius: 8px; padding: 10px; break-inside: avoid; }
.gallery img { display: block; width: 96px; height: 96px; margin: 0 auto 8px; image-rendering: pixelated;
  object-fit: contain; }
.gallery blockquote { margin: 0 0 8px; font-size: 14px; overflow-wrap: anywhere; }
.gallery figcaption { font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.gallery figcaption b { color: var(--ink); }
.gallery figcaption span { display: block; font-size: 11.5px; }
.meter { display: block; height: 5px; border-radius: 3px; background: var(--line); overflow: hidden; }
.meter i { display: block; height: 100%; background: var(--accent); }
.gallery .meter { margin: 5px 0 4px; }
.gallery .meter i { background: var(--warn); }
.tiles { display: grid; gap: 14px 20px; grid-template-columns: repeat(auto-fit, minmax(132px, 1fr));
  margin: 0; }
.tiles div { border-left: 3px solid var(--line); padding-left: 12px; }
.tiles dt { color: var(--quiet); font-size: 13px; }
.tiles dd { margin: 0; font-size: 18px; font-variant-numeric: tabular-nums; }
.key { display: flex; gap: 4px; align-items: center; margin: 10px 0 0; }
.key i { width: 22px; height: 13px; border-radius: 2px; border: 1px solid var(--line); }
.key span { padding: 0 6px; }
.s1 { background: rgb(var(--shade) / 0.10); } .s2 { background: rgb(var(--shade) / 0.20); }
.s3 { background: rgb(var(--shade) / 0.31); } .s4 { background: rgb(var(--shade) / 0.43); }
.s5 { background: rgb(var(--shade) / 0.55); } .s6 { background: rgb(var(--shade) / 0.68); }
.s7 { background: rgb(var(--shade) / 0.82); }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; padding: 4px 0; }
footer { color: var(--quiet); font-size: 13px; margin-top: 20px; }
@media (max-width: 640px) {
  section { padding: 18px 16px; } .score { text-align: left; } h1 { font-size: 27px; }
  main, .bar { padding: 0 12px; } td:last-child { min-width: 180px; }
  figure.drawn { overflow-x: auto; } figure.drawn img { max-width: none; height: auto; } }
@media print {
  :root { --ground: #fff; --card: #fff; --ink: #000; --quiet: #444; --line: #ccc; --accent: #005b8f;
    --warn: #9a3d00; --tint: #f4f4f4; --shade: 213 94 0; color-scheme: light; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 9.5pt; } table, .quiet { font-size: 9pt; } th, td { padding: 3px 12px 3px 0; }
  figure.drawn img { max-height: 11cm; } nav { display: none; } main, .bar { max-width: none; padding: 0; }
  section { border: 0; padding: 0; margin-top: 18pt; } h2, h3 { break-after: avoid; }
  figure, tr, pre { break-inside: avoid; } section > p:has(+ .gallery) { break-after: avoid; }
  details::details-content { content-visibility: visible; block-size: auto; }
}
"""

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(title: str, header: str, sections: Sequence[tuple[str, str, str]], footer: str) -> str:
    """The whole document.

    Args:
        title: Plain text, for the window and bookmarks.
        header: HTML at the head of the page.
        sections: Anchor, heading and HTML of each section, in order.
        footer: Plain text at the end.
    """
    links = "".join(f'<a href="#{anchor}">{escape(heading)}</a>' for anchor, heading, _ in sections)
    body = "\n".join(
        f'<section id="{anchor}">\n<h2>{escape(heading)}</h2>\n{content}\n</section>'
        for anchor, heading, content in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<header><div class="bar">{header}</div></header>
<nav aria-label="Sections"><div class="bar">{links}</div></nav>
<main>
{body}
<footer>{escape(footer)}</footer>
</main>
</body>
</html>
"""


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text; ``kind`` is a class of the style sheet, such as ``quiet`` or ``warn``."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def drawing(svg: str, words: str) -> str:
    """A figure on a white card; ``words`` say what it shows to those who cannot see it.

    It is embedded as an image, so that the names and styles inside it stay inside it.
    """
    uri = "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
    return f'<figure class="drawn"><img src="{uri}" alt="{escape(words)}"></figure>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    kind: str = "",
    first: int = -1,
) -> str:
    """A table of HTML cells.

    Args:
        head: Plain text over each column; no head at all where every one is empty.
        rows: HTML of each cell, escaped by the caller.
        numbers: Columns that are aligned as numbers.
        kind: A class of the style sheet.
        first: Row to be emphasised.
    """
    align = ['class="number"' if i in numbers else "" for i in range(len(head))]
    top = "".join(f'<th scope="col" {a}>{escape(text)}</th>' for text, a in zip(head, align, strict=True))
    thead = f"<thead><tr>{top}</tr></thead>\n" if any(head) else ""
    body = "\n".join(
        f"<tr{' class=first' if number == first else ''}>"
        + "".join(f"<td {a}>{cell}</td>" for cell, a in zip(row, align, strict=True))
        + "</tr>"
        for number, row in enumerate(rows)
    )
    text = f'<table class="{kind}">\n{thead}<tbody>\n{body}\n</tbody>\n</table>'
    return f'<div class="wide">{text.replace(" >", ">")}</div>'


def tiles(entries: Iterable[tuple[str, str]]) -> str:
    """Names and values, large, side by side."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in entries)
    return f'<dl class="tiles">{cells}</dl>'


def meter(share: float) -> str:
    """A bar filled to a share between 0 and 1."""
    return f'<span class="meter"><i style="width:{max(0.0, min(share, 1.0)):.1%}"></i></span>'


def exhibit_card(picture: str, text: str, caption: str) -> str:
    """A small picture (a data URI; anything else is left out) or a text, over a caption in HTML."""
    words = escape(text) or "picture"
    shown = (
        f'<img src="{escape(picture)}" alt="{words}">'
        if picture.startswith("data:image/")
        else (f"<blockquote>{escape(text)}</blockquote>")
    )
    return f"<figure>{shown}<figcaption>{caption}</figcaption></figure>"


def gallery(cards: Sequence[str], of_texts: bool) -> str:
    """Cards side by side."""
    return f'<div class="gallery{" texts" if of_texts else ""}">\n' + "\n".join(cards) + "\n</div>"


def folded(summary: str, content: str) -> str:
    """Something that opens when it is wanted."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"
