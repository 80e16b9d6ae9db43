"""Settings of the operations that grow labels, interpolate between slices, and split."""
