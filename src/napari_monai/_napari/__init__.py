"""The edge: what napari-monai contributes to napari, and the only place that imports it."""
