"""The surroundings of a run: start of TensorFlow, signals, terminal. Loads no TensorFlow when imported."""
