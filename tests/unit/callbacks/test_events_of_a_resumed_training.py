"""What TensorBoard shows of a training that was resumed: each iteration once."""

from __future__ import annotations

import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from tf_nqs.callbacks import events


def written(folder, name, points):
    writer = tf.summary.create_file_writer(str(folder / "tensorboard" / name))
    for step, value in points.items():
        with writer.as_default(step):
            tf.summary.scalar(events.ENERGY, value)
    writer.close()


def shown(folder, name=""):
    accumulator = EventAccumulator(str(folder / "tensorboard" / name))
    accumulator.Reload()
    return {one.step: tf.make_ndarray(one.tensor_proto).item() for one in accumulator.Tensors(events.ENERGY)}


def test_what_followed_the_checkpoint_is_forgotten(tmp_path):
    """Twice; of iterations 20 and 30 the second training is shown, though the first had a 40 that it never gets to."""
    written(tmp_path, "", {10: 1.0, 20: 2.0, 30: 3.0, 40: 4.0})
    written(tmp_path, events.REFERENCE_FOLDER, {10: 0.5, 40: 0.5})
    events.forget_events(tmp_path, 10)
    assert shown(tmp_path) == {10: 1.0} and shown(tmp_path, events.REFERENCE_FOLDER) == {10: 0.5}
    written(tmp_path, "", {20: 20.0, 30: 30.0})
    assert shown(tmp_path) == {10: 1.0, 20: 20.0, 30: 30.0}
    events.forget_events(tmp_path, 20)
    written(tmp_path, "", {30: 300.0})
    assert shown(tmp_path) == {10: 1.0, 20: 20.0, 30: 300.0}


def test_a_training_without_events_has_nothing_to_forget(tmp_path):
    events.forget_events(tmp_path, 10)
    assert not list(tmp_path.iterdir())
