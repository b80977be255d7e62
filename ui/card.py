"""A model's card in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from cracklib.metrics import OVERALL
from cracklib.weights import ModelCard
from ui.quality import estimate_text
from ui.text import percent, plain

_STARTS = {"bundled": "the bundled model", "hed": "an edge detector", "imagenet": "ImageNet"}
_WORDS = {"head": "head", "block5": "head, last block", "block4-5": "head, last two blocks"}
_SETTINGS = {
    "name": "Recipe",
    "trainable": "Layers trained",
    "epochs": "Epochs at most",
    "patience": "Patience, epochs",
    "batch_size": "Batch size, photos",
    "optimizer": "Optimiser",
    "learning_rate": "Learning rate",
    "augmentation": "Augmentation",
    "class_weights": "Class weights",
}
"""Of a card's recipe, what is shown; and how the rows are called."""

_LONG_HASH = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b")
_TERMS = {
    "assorted": "CC BY, CC BY-SA, CC0, BSD, MIT, Apache (games and packages; see TRAINING.md)",
    "brickwork": "published with a paper, to be cited (Katsigiannis et al. 2023)",
    "concrete": "CC BY 4.0 (Özgenel)",
    "everyday": "no terms stated (Intel scene classification set)",
    "redeclipse": "CC BY and CC BY-SA 3.0 (the game Red Eclipse)",
    "slab": "MIT (Ballesteros Ruiz et al. 2021)",
    "supertuxkart": "CC0, CC BY, CC BY-SA and public domain (the game SuperTuxKart)",
    "texture": "for research, to be cited (Cimpoi et al. 2014)",
    "tile": "MIT (Ballesteros Ruiz et al. 2021)",
    "zeroad": "CC BY-SA 3.0 (the game 0 A.D.)",
}
"""Of each source of photos that the bundled model may be trained on."""


def card_rows(card: ModelCard) -> dict[str, str]:
    """What a card says, heading and text: where the model comes from and how it decides."""
    recipe = card.recipe
    rows = {
        "Made": card.created or "–",
        "Started from": _LONG_HASH.sub(r"\1…", card.start),
        "Trained on": "; ".join(
            f"{source}: "
            + ", ".join(f"{count:,} {label.replace('_', ' ')}" for label, count in counts.items())
            for source, counts in card.data.items()
        )
        or "–",
    }
    rows |= {title: _text(recipe[name]) for name, title in _SETTINGS.items() if name in recipe}
    if isinstance(history := recipe.get("history"), list):
        rows["Epochs run"] = f"{len(history)}"
    if card.minutes is not None:
        rows["Run took"] = f"{card.minutes:,.0f} minutes" if card.minutes >= 1.5 else "a minute"
    rows |= {
        "Seed": f"{card.seed}",
        "Called a crack": f"from a probability of {percent(card.verdict_threshold)}",
        "Made with": ", ".join(f"{name} {version}" for name, version in card.versions.items())
        or "–",
        "Weights": f"sha256 {card.sha256}",
    }
    return rows


def summary(card: ModelCard, with_start: bool = True) -> str:
    """A model in a sentence: when, from what, on how many photos, how good."""
    parts = [f"made {card.created[:10]}"] if card.created else []
    start = _STARTS.get(str(card.recipe.get("start")))
    if start and with_start:
        parts.append(f"from {start}")
    if n_photos := sum(count for counts in card.data.values() for count in counts.values()):
        parts.append(f"on {n_photos:,} photos")
    made = ", ".join(parts)
    made = f"{made[0].upper()}{made[1:]}. " if made else ""
    estimate = card.quality.get(OVERALL, {}).get("balanced_accuracy")
    if not isinstance(estimate, Mapping):
        return plain(f"{made}Not measured on held-out photos.")
    return plain(f"{made}Balanced accuracy on held-out photos: {estimate_text(estimate)}.")


def terms(card: ModelCard) -> str:
    """On what terms the bundled model may be used, as Markdown."""
    sources = "; ".join(
        f"{plain(source)}: {plain(_TERMS.get(source, 'not known'))}" for source in card.data
    )
    return (
        "**Terms.** The program is under the Apache License 2.0: use, change and pass it on, keep "
        "the notices, no warranty. The weights hold no photo, but were made from photos that have "
        f"terms of their own: {sources}."
    )


def rows_html(rows: Mapping[str, str]) -> str:
    """The rows as a list of terms; their text is escaped."""
    items = "".join(f"<dt>{title}</dt><dd>{escape(text)}</dd>" for title, text in rows.items())
    return f"<dl class='card-rows'>{items}</dl>"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else _WORDS.get(str(value), str(value))
