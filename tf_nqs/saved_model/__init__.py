"""The wave function as a TensorFlow SavedModel."""
