"""Settings of the operations that change the shape of labels, combine layers, or copy slices."""
