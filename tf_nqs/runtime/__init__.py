"""The environment of a run: TensorFlow's start, signals, the terminal. Loads no TensorFlow when imported."""
