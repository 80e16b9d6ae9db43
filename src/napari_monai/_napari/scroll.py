"""A part of a dock widget that scrolls where the window is too low for it."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QWidget

# Lowest height that it is pressed to, in pixels.
_LOWEST = 90


class Scroll(QScrollArea):
    """Just as high as its content if there is room, and lower with a scroll bar if not.

    A plain scroll area takes a height of its own, and text that wraps makes content higher the
    narrower it is.
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.setWidgetResizable(True)
        self.setWidget(content)
        content.installEventFilter(self)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size of the content at the width that there is."""
        hint = self._content.sizeHint()
        layout = self._content.layout()
        if layout is not None and layout.hasHeightForWidth():
            width = self.width() if self.isVisible() else hint.width()
            hint.setHeight(layout.totalHeightForWidth(width))
        edges = 2 * self.frameWidth()  # a theme may draw a frame all the same
        return hint + QSize(edges, edges)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the width of the content, and little height."""
        content = self._content.minimumSizeHint()
        return QSize(content.width(), min(_LOWEST, self.sizeHint().height()))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Take the new height when the content is laid out anew."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Take the new height that another width makes."""
        super().resizeEvent(event)
        if event is not None and event.oldSize().width() != event.size().width():
            self.updateGeometry()
