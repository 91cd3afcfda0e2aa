"""Starting a tagger from another one's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elman.errors import UsageError

if TYPE_CHECKING:
    from elman.tasks.tagging.tagger import Tagger


def take_over(old: Tagger, new: Tagger) -> None:
    """Start `new` from the weights of `old`, whose vocabularies its own begin with. Rows of new entries stay as they
    are. Raises UsageError for a tensor of another shape."""
    weights, wanted = old.network.state_dict(), new.network.state_dict()
    if weights.keys() != wanted.keys():
        odd = sorted(weights.keys() ^ wanted.keys())
        raise UsageError(f"the model to start from has another architecture: {', '.join(odd[:4])} is in only one")
    labels = torch.tensor([new.vocabularies.tags[tag] for tag in old.vocabularies.tags.items])
    for name, tensor in wanted.items():
        given = weights[name]
        if name.startswith(("words.", "characters.embedding.")):
            tensor[: len(given)] = given
        elif name.startswith(("out.", "crf.")):
            if name == "crf.transitions":
                tensor[labels.unsqueeze(1), labels] = given
            else:
                tensor[labels] = given
        elif given.shape != tensor.shape:
            shapes = f"{tuple(given.shape)} there, {tuple(tensor.shape)} here"
            raise UsageError(f"the model to start from has another architecture: {name} is {shapes}")
        else:
            tensor.copy_(given)
