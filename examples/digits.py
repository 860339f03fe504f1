"""A small convolutional network in plain NumPy whose pooling layers are numpool's.

It learns to read the 8 x 8 handwritten digits that scikit-learn ships:

    image 8x8x1 - convolution 3x3 - ReLU - max pooling 2x2 - 4x4x16
                - convolution 3x3 - ReLU - average pooling 2x2 - 2x2x32
                - dense - 10 scores

Arrays are (batch, height, width, channels), so pooling works over `axis=(1, 2)`. A layer has
`forward(x)` and `backward(grad)`; backward takes the gradient of the loss with respect to the
layer's output, keeps those of its own parameters, and returns that with respect to its input.

Run: python examples/digits.py
"""

import numpy as np
from sklearn.datasets import load_digits

import numpool


class Layer:
    """What training asks of a layer."""

    parameters = ()  # the arrays to train; `backward` leaves their gradients in `grads`


class Conv3x3(Layer):
    """A 3x3 convolution that keeps height and width, as one matrix product (im2col)."""

    def __init__(self, channels_in, channels_out, rng):
        fan_in = 9 * channels_in
        self.weight = rng.normal(0, np.sqrt(2 / fan_in), (fan_in, channels_out)).astype(np.float32)
        self.bias = np.zeros(channels_out, np.float32)
        self.parameters = [self.weight, self.bias]

    def forward(self, x):
        n, h, w, c = x.shape
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        # One row a pixel: the 3x3 patch around it, all channels.
        patches = [padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
        self.columns = np.stack(patches, axis=3).reshape(n * h * w, 9 * c)
        self.shape = x.shape
        return (self.columns @ self.weight + self.bias).reshape(n, h, w, -1)

    def backward(self, grad):
        n, h, w, c = self.shape
        flat = grad.reshape(n * h * w, -1)
        self.grads = [self.columns.T @ flat, flat.sum(axis=0)]
        # Every patch gives its gradient back to the pixels it was cut from.
        patches = (flat @ self.weight.T).reshape(n, h, w, 3, 3, c)
        padded = np.zeros((n, h + 2, w + 2, c), np.float32)
        for i in range(3):
            for j in range(3):
                padded[:, i : i + h, j : j + w] += patches[:, :, :, i, j]
        return padded[:, 1:-1, 1:-1]


class Dense(Layer):
    """A matrix product over everything but the batch axis."""

    def __init__(self, features, classes, rng):
        scale = np.sqrt(1 / features)
        self.weight = rng.normal(0, scale, (features, classes)).astype(np.float32)
        self.bias = np.zeros(classes, np.float32)
        self.parameters = [self.weight, self.bias]

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(len(x), -1)
        return self.x @ self.weight + self.bias

    def backward(self, grad):
        self.grads = [self.x.T @ grad, grad.sum(axis=0)]
        return (grad @ self.weight.T).reshape(self.shape)


class ReLU(Layer):
    """Negative values become zero."""

    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, grad):
        return grad * self.positive


class MaxPool2x2(Layer):
    """The largest of four pixels; its gradient goes back to that pixel alone.

    The forward pass tells which pixel it was, as an offset in the window: one byte an output.
    """

    def forward(self, x):
        self.x = x
        y, self.indices = numpool.max_pool2d(x, 2, axis=(1, 2), return_indices="offset")
        return y

    def backward(self, grad):
        return numpool.max_pool2d_backward(grad, self.x, 2, axis=(1, 2), indices=self.indices)


class AvgPool2x2(Layer):
    """The mean of four pixels; its gradient is shared among them."""

    def forward(self, x):
        self.x = x
        return numpool.avg_pool2d(x, 2, axis=(1, 2))

    def backward(self, grad):
        return numpool.avg_pool2d_backward(grad, self.x, 2, axis=(1, 2))


def forward(layers, x):
    """Return the scores of a batch of images."""
    for layer in layers:
        x = layer.forward(x)
    return x


def backward(layers, grad):
    """Leave in every layer the gradients of its parameters."""
    for layer in reversed(layers):
        grad = layer.backward(grad)


def cross_entropy_gradient(scores, labels):
    """Return the gradient of the mean cross-entropy of softmax(scores)."""
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    grad = exp / exp.sum(axis=1, keepdims=True)
    grad[np.arange(len(labels)), labels] -= 1
    return grad / len(labels)


def train(layers, images, labels, rng, epochs=15, batch=32, rate=0.05, momentum=0.9):
    """Stochastic gradient descent with momentum, in place."""
    with_parameters = [layer for layer in layers if layer.parameters]
    velocity = [[np.zeros_like(p) for p in layer.parameters] for layer in with_parameters]
    for _ in range(epochs):
        order = rng.permutation(len(images))
        for start in range(0, len(images), batch):
            chosen = order[start : start + batch]
            scores = forward(layers, images[chosen])
            backward(layers, cross_entropy_gradient(scores, labels[chosen]))
            for layer, speeds in zip(with_parameters, velocity, strict=True):
                for p, g, v in zip(layer.parameters, layer.grads, speeds, strict=True):
                    v *= momentum
                    v -= rate * g
                    p += v


def main(seed=0):
    """Train on three quarters of the digits; return the share read right of the other quarter."""
    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = rng.permutation(len(digits.target))
    images = (digits.images[order, :, :, None] / 16).astype(np.float32)
    labels = digits.target[order]
    held_out = len(labels) // 4

    layers = [
        Conv3x3(1, 16, rng),
        ReLU(),
        MaxPool2x2(),
        Conv3x3(16, 32, rng),
        ReLU(),
        AvgPool2x2(),
        Dense(2 * 2 * 32, 10, rng),
    ]
    train(layers, images[held_out:], labels[held_out:], rng)

    guesses = forward(layers, images[:held_out]).argmax(axis=1)
    accuracy = float(np.mean(guesses == labels[:held_out]))
    print(f"{accuracy:.1%} of {held_out} digits it has never seen are read right")
    return accuracy


if __name__ == "__main__":
    main()
