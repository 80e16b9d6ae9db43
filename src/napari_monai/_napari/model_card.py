"""The card of a model as rich text: its picture, what it is, whether it fits, and all details."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QSize, Qt, QTimer, QUrl, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QDesktopServices, QImage, QImageReader, QTextDocument
from qtpy.QtWidgets import QTextBrowser, QWidget

from ..models import Model
from ..models.costs import Cost, known_cost
from .model_jobs import Entry, counted
from .model_table import fit_words

# Links of the card that are no addresses.
ALLOW, FORBID = "do:allow", "do:forbid"

_PICTURE = QUrl("picture:preview")
_PICTURE_WIDTH = 180
_MOST_PIXELS = 5000  # a side
# Milliseconds that a model is looked at before its costs are worked out.
_A_LOOK = 500
# What is read first; the rest stands below it.
_FIRST = (
    "intended use", "limits", "task", "classes", "modality", "input", "scores", "licence",
    "authors", "citations", "trust",
)  # fmt: skip
_LATER = (
    "network", "cost", "preprocess", "window", "output", "postprocess", "training", "size",
    "weights", "origin", "folder",
)  # fmt: skip


class ModelCard(QTextBrowser):
    """Shows one model; what its maker wrote is shown as it is, never as markup."""

    asked = Signal(str)  # ALLOW or FORBID was clicked
    # Here, because Qt sends events before __init__ is through.
    _counter: Any = None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entry: Entry | None = None
        self._image = ""
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_A_LOOK)
        self._soon.timeout.connect(self._count)
        self.setOpenLinks(False)
        self.setFrameShape(QTextBrowser.Shape.NoFrame)
        self.anchorClicked.connect(self._clicked)

    def show_entry(self, entry: Entry | None, image: str) -> None:
        """Show a model and how it fits the image of a name; nothing for ``None``.

        What the model costs is worked out beside the window where nobody has yet, and then shown.
        """
        known = None if entry is None else known_cost(entry.model)
        self._entry, self._image = entry, image
        self._show(known)
        if entry is not None and known is None and entry.runs:
            self._soon.start()
        else:
            self._soon.stop()

    @property
    def at_rest(self) -> bool:
        """Whether no costs are being worked out, nor soon will be."""
        return self._counter is None and not self._soon.isActive()

    def _count(self) -> None:
        if self._counter is not None or self._entry is None:
            return  # the one under way is followed by the next
        self._counter = create_worker(counted, self._entry.model, _ignore_errors=True)
        self._counter.returned.connect(self._counted)
        self._counter.errored.connect(self._not_counted)
        self._counter.start()

    def _counted(self, found: tuple[Model, Cost]) -> None:
        self._counter = None
        model, cost = found
        if self._entry is None:
            return
        if self._entry.model != model:
            self.show_entry(self._entry, self._image)
            return
        bar = self.verticalScrollBar()
        read = 0 if bar is None else bar.value()
        self._show(cost)
        if bar is not None:
            bar.setValue(read)

    def _not_counted(self, _error: Exception) -> None:
        self._counter = None  # a card without costs is a card, too

    def _show(self, cost: Cost | None) -> None:
        entry, image = self._entry, self._image
        self.clear()
        document = self.document()
        if entry is None or document is None:
            return
        if cost is not None:
            entry = replace(entry, card={**entry.card, "cost": str(cost)})
        # What Qt takes for links is dark blue, whatever the theme.
        colour = self.palette().text().color().name()
        document.setDefaultStyleSheet(f"a {{ color: {colour}; }}")
        picture = None if entry.preview is None else _picture(entry.preview)
        if picture is not None:
            document.addResource(QTextDocument.ResourceType.ImageResource, _PICTURE, picture)
        self.setHtml(_html(entry, image, has_picture=picture is not None))

    def _clicked(self, url: QUrl) -> None:
        if url.scheme() in ("http", "https"):
            QDesktopServices.openUrl(url)
        elif url.scheme() == "do":
            self.asked.emit(url.toString())

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size that shows the first lines."""
        return QSize(440, 260)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return a size that a narrow dock and a low window have."""
        return QSize(150, 60)


def _picture(file: Path) -> QImage | None:
    """Return the preview picture in the width of the card; ``None`` if it is none."""
    reader = QImageReader(str(file))
    size = reader.size()
    if not size.isValid() or max(size.width(), size.height()) > _MOST_PIXELS:
        return None
    reader.setScaledSize(size.scaled(_PICTURE_WIDTH, _PICTURE_WIDTH, _KEEP))
    image = reader.read()
    return None if image.isNull() else image


_KEEP = Qt.AspectRatioMode.KeepAspectRatio


def _html(entry: Entry, image: str, *, has_picture: bool) -> str:
    told, card = entry.model.description, entry.card
    picture = f'<img src="{_PICTURE.toString()}" style="float: right;">' if has_picture else ""
    parts = [
        f"{picture}<h3>{_text(told.title or told.name)}</h3>",
        f"<p>{_text(told.description)}</p>",
        f"<p>{_fit(entry, image)}</p>",
        _table(card, _FIRST, consent=_consent(entry)),
        "<h4>Details</h4>",
        _table({"name": card["name"], **card}, ("name", *_LATER)),
    ]
    return "".join(parts)


def _fit(entry: Entry, image: str) -> str:
    words = _text(fit_words(entry.fit))
    if not entry.runs:
        return f"<b>{words}</b>"
    if not image:
        return words
    name = f"“{_text(' + '.join(entry.joined) or image)}”"
    if entry.fit.why_not:
        return f"<b>Does not fit {name}.</b> {words}"
    return f"<b>Fits {name}</b>, with a note. {words}" if words else f"<b>Fits {name}.</b>"


def _consent(entry: Entry) -> str:
    """Return the link by which the user agrees to code, or takes that back."""
    if entry.model.description.trust == "data_only":
        return ""
    if entry.allowed:
        return f' <a href="{FORBID}">Do not allow any more</a>'
    return f' <b>Not allowed yet.</b> <a href="{ALLOW}">Allow…</a>'


def _table(card: dict[str, str], names: Iterable[str], *, consent: str = "") -> str:
    rows = [
        f'<tr><td style="padding-right: 10px;"><i>{name}</i></td>'
        f"<td>{_text(card[name])}{consent if name == 'trust' else ''}</td></tr>"
        for name in names
        if card.get(name)
    ]
    return f'<table cellspacing="2">{"".join(rows)}</table>' if rows else ""


def _text(text: str) -> str:
    """Return plain text as HTML that shows it as it is, with web addresses and DOIs as links."""
    plain = html.escape(" ".join(text.split()))
    plain = re.sub(r"https?://[^\s&;,)]+[^\s&;,.)]", r'<a href="\g<0>">\g<0></a>', plain)
    return re.sub(
        r"\bdoi:\s?(10\.\d{4,9}/[^\s&;,)]+[^\s&;,.)])",
        r'<a href="https://doi.org/\1">doi:\1</a>',
        plain,
    )
