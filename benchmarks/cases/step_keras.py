"""One training step of Keras 3's `fit`, on the backend that `--backend` names.

tutorial: "Simple MNIST convnet", NumPy arrays into `fit`. tuned: `steps_per_execution`, which runs several batches in
one call (not on the torch backend, which refuses it), and bfloat16 by the dtype policy where that is asked for.
"""

import os

import case

STEPS_AT_ONCE = 16


def main() -> None:
    options = case.options()
    os.environ["KERAS_BACKEND"] = options.backend  # Keras reads it as it is imported
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    if options.threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    import keras

    threads = _set_threads(options)
    keras.utils.set_random_seed(options.seed)
    bf16 = options.precision == "bf16"
    if bf16:
        keras.config.set_dtype_policy("mixed_bfloat16")
    x, y, valid_x, valid_y = _data(options)
    model = _cnn(keras) if options.network == "cnn" else _mlp(keras)
    at_once = STEPS_AT_ONCE if options.variant == "tuned" and options.backend != "torch" else 1
    model.compile(**_recipe(keras, options.network), steps_per_execution=at_once)
    before = _evaluate(model, valid_x, valid_y)
    clock, warm_up = case.Clock(), case.warm_up_epochs(options.network)
    timed = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: clock.start(), on_epoch_end=lambda epoch, logs: clock.stop()
    )
    model.fit(
        x, y, batch_size=case.BATCH_SIZE, epochs=warm_up + options.epochs, callbacks=[timed], verbose=0, shuffle=True
    )
    step = clock.seconds_per_step(len(x) // case.BATCH_SIZE, warm_up)
    check = case.learned(before, _evaluate(model, valid_x, valid_y))
    case.finish({"step": step}, precision="bf16" if bf16 else "fp32", threads=threads, check=check)


def _set_threads(options: object) -> int:
    """Give the backend its threads, and say how many it has. JAX has one pool, of all cores or of one thread."""
    cores = os.cpu_count() or 1
    if options.backend == "torch":
        import torch

        case.set_up(options)
        return torch.get_num_threads()
    if options.backend == "tensorflow" and options.threads:
        import tensorflow

        tensorflow.config.threading.set_intra_op_parallelism_threads(options.threads)
    return options.threads or cores


def _evaluate(model: object, x: object, y: object) -> tuple[float, float]:
    """Loss and accuracy by NumPy: a metric given to `compile` would be computed in every training step too."""
    import numpy as np

    preds = np.asarray(model.predict(x, batch_size=1000, verbose=0), dtype=np.float64)
    if preds.shape[1] == 1:
        probs = 1 / (1 + np.exp(-preds))
        return float(np.where(y == 1, 1 - probs, probs).mean()), float(((preds > 0) == (y == 1)).mean())
    logs = preds - preds.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    return float(-logs[np.arange(len(y)), y].mean()), float((preds.argmax(1) == y).mean())


def _data(options: object) -> tuple:
    x, y, valid_x, valid_y = case.arrays(options)
    shape = (-1, 784) if options.network == "mlp" else (-1, 28, 28, 1)
    x, valid_x = (pixels.reshape(shape).astype("float32") / 255 for pixels in (x, valid_x))
    if options.network == "mlp":
        y, valid_y = (labels.reshape(-1, 1).astype("float32") for labels in (y, valid_y))
    return x, y, valid_x, valid_y


def _cnn(keras: object) -> object:
    """`networks.cnn` in Keras' layers; channels are last there."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 5, padding="same", use_bias=False),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
            layers.ReLU(),
            layers.GlobalMaxPooling2D(),
            layers.Dense(10, dtype="float32"),  # Keras' guide to mixed precision: the output in float32
        ]
    )


def _mlp(keras: object) -> object:
    """`networks.mlp` in Keras' layers."""
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((784,)), layers.Dense(30, activation="relu"), layers.Dense(1, dtype="float32")]
    )


def _recipe(keras: object, network: str) -> dict:
    if network == "cnn":
        return {
            "optimizer": keras.optimizers.AdamW(case.LR["cnn"], weight_decay=0.01),
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        }

    def mnist_loss(targets: object, preds: object) -> object:
        probs = keras.ops.sigmoid(preds)
        return keras.ops.mean(keras.ops.where(targets == 1, 1 - probs, probs))

    return {"optimizer": keras.optimizers.SGD(case.LR["mlp"]), "loss": mnist_loss}


if __name__ == "__main__":
    main()
