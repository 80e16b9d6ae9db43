"""Pieces of a page of HTML that needs no other file and no network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
body { font: 15px/1.45 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; color: #1b1f24;
       max-width: 1180px; margin: 2em auto; padding: 0 1.5em; background: #fff; }
h1 { font-size: 1.7em; margin: 0 0 .2em; }
h2 { font-size: 1.25em; margin: 2em 0 .5em; border-bottom: 1px solid #d0d7de; }
h3 { font-size: 1em; margin: 1.2em 0 .3em; }
p.lead, p.note, figcaption, caption { color: #57606a; }
p.note, figcaption { font-size: .9em; max-width: 70em; }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .4em 0; }
th, td { padding: .25em .55em; text-align: right; border-bottom: 1px solid #eaeef2; }
td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #d0d7de; vertical-align: bottom; }
td small { color: #57606a; font-size: .75em; }
tr.all td { font-weight: 600; border-top: 2px solid #d0d7de; }
figure { display: inline-block; margin: .5em 1.2em .8em 0; vertical-align: top; }
figure img { max-width: 520px; display: block; height: auto; }
figcaption { margin-top: .3em; max-width: 34em; }
span.key { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 1em;
           border-radius: 2px; }
details { margin: .5em 0; }
summary { cursor: pointer; }
@media print { details { display: block; } }
"""


class Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


def html(text: str) -> Html:
    """Return text as HTML."""
    return text if isinstance(text, Html) else Html(escape(text))


def page(title: str, parts: Iterable[str]) -> str:
    """Return a whole page."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n"
        "</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> Html:
    """Return a heading and what stands below it; nothing where there is nothing."""
    kept = [html(part) for part in parts if part]
    if not kept:
        return Html("")
    return Html("\n".join(("<section>", f"<h2>{html(title)}</h2>", *kept, "</section>")))


def paragraph(text: str, style: str = "") -> Html:
    """Return a paragraph."""
    return Html(f'<p class="{style}">{html(text)}</p>' if style else f"<p>{html(text)}</p>")


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, last_is_all: bool = False
) -> Html:
    """Return a table; with ``last_is_all`` the last row is set apart."""
    lines = [_row("th", header)]
    body = [_row("td", row) for row in rows]
    if last_is_all and body:
        body[-1] = body[-1].replace("<tr>", '<tr class="all">', 1)
    inner = "\n".join(("<thead>", *lines, "</thead>", "<tbody>", *body, "</tbody>"))
    return Html(f'<div class="scroll"><table>\n{inner}\n</table></div>')


def bullets(texts: Iterable[str]) -> Html:
    """Return a list of sentences."""
    items = "".join(f"<li>{html(text)}</li>\n" for text in texts)
    return Html(f'<ul class="note">\n{items}</ul>')


def folded(title: str, inner: Html) -> Html:
    """Return what is shown only when it is asked for."""
    return Html(f"<details><summary>{html(title)}</summary>\n{inner}\n</details>")


def image(png: bytes, caption: str, *, width: int | None = None) -> Html:
    """Return a picture with its caption, embedded."""
    data = base64.b64encode(png).decode("ascii")
    size = f' width="{width}"' if width else ""
    return Html(
        f'<figure><img alt="{html(caption)}"{size} src="data:image/png;base64,{data}">'
        f"<figcaption>{html(caption)}</figcaption></figure>"
    )


def _row(cell: str, values: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{html(v)}</{cell}>" for v in values) + "</tr>"
