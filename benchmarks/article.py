"""What the article this project started from does to show a heatmap, to measure against.

Written from a description: two predicts, a submodel built anew at each call, every channel of the
feature map upsampled before the weights of the predicted class sum them, each map stretched to its
own maximum. What the description leaves open (resizing, blending) is done the fast way, in OpenCV.
"""

from __future__ import annotations

import cv2
import keras
import matplotlib as mpl
import numpy as np
from scipy.ndimage import zoom

from cracklib.architecture import HEAD, FeatureLayer
from cracklib.model import build_model
from cracklib.preprocess import resize_to_input
from cracklib.types import FloatArray, Pixels
from cracklib.weights import Weights

OPACITY = 0.35


def build_article_model(weights: Weights, feature_layer: FeatureLayer) -> keras.Model:
    """The network with the softmax as its one output: (n, 2) in the order of ``config.LABELS``."""
    network = build_model(feature_layer, weights)
    return keras.Model(network.input, keras.layers.Softmax()(network.output["logits"]))


def article_map(model: keras.Model, feature_layer: str, batch: FloatArray) -> FloatArray:
    """The predicted class's activation map over its maximum, float32 of the input's size.

    ``batch`` is one preprocessed photo, float32 (1, height, width, 3).
    """
    predicted = int(model.predict(batch, verbose=0)[0].argmax())
    to_features = keras.Model(model.input, model.get_layer(feature_layer).output)
    features = to_features.predict(batch, verbose=0)[0]
    class_weights = model.get_layer(HEAD).get_weights()[0][:, predicted]
    factors = (batch.shape[1] / features.shape[0], batch.shape[2] / features.shape[1], 1)
    evidence: FloatArray = zoom(features, factors, order=1) @ class_weights
    return evidence / evidence.max()


def article_overlay(model: keras.Model, feature_layer: str, pixels: Pixels) -> Pixels:
    """The map in jet colours over the photo: uint8 RGB (height, width, 3)."""
    resized = resize_to_input(pixels).astype(np.float32)
    batch = keras.applications.vgg16.preprocess_input(resized)[np.newaxis]
    colours = mpl.colormaps["jet"](article_map(model, feature_layer, batch), bytes=True)[..., :3]
    height, width = pixels.shape[:2]
    colours = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.addWeighted(pixels, 1 - OPACITY, colours, OPACITY, 0)
