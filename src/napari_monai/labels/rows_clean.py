"""Operations that clean labels: holes, small components, all but the largest one."""

from __future__ import annotations

from .rows import Operation

_FUNCTIONS = "napari_monai.labels.edit_clean"
_SETTINGS = "napari_monai.labels.settings_clean"

ROWS_CLEAN: tuple[Operation, ...] = ()
