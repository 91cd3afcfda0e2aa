"""Subwords: byte-level byte-pair encoding (Sennrich et al. 2016, Radford et al. 2019), trained on the spot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from elman.errors import ModelError, UsageError

if TYPE_CHECKING:
    import tokenizers

BYTES = 256  # the smallest vocabulary: every byte, so that no text is unknown


class Subwords:
    """Pieces of words. `join` is the exact inverse of `split`.

    A token spells its bytes in the printable alphabet of GPT-2, in which Ġ is a space: `Ġhouse` is "house" after a
    space. The same texts and size give the same tokens.
    """

    name: ClassVar[str] = "subwords"

    def __init__(self, tokenizer: tokenizers.Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Subwords:
        """Learn at most `size` tokens, including the 256 bytes; small texts give fewer.

        Raises UsageError for a size below 256, and where the package tokenizers is missing.
        """
        if size < BYTES:
            raise UsageError(f"expected at least {BYTES} subwords, one for each byte, found {size}; choose more")
        package = _package()
        trainer = package.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=sorted(package.pre_tokenizers.ByteLevel.alphabet()), show_progress=False
        )
        tokenizer = package.Tokenizer(package.models.BPE())
        tokenizer.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = package.decoders.ByteLevel()
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    def __len__(self) -> int:
        """How many tokens there are."""
        return self._tokenizer.get_vocab_size()

    def split(self, text: str) -> list[str]:
        return self._tokenizer.encode(text).tokens

    def join(self, tokens: Sequence[str]) -> str:
        """The text; bytes that are not a whole character, as at the end of a cut sequence, are U+FFFD."""
        return self._tokenizer.decoder.decode(list(tokens))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.name, "tokenizer": json.loads(self._tokenizer.to_str())}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Subwords:
        """Raises ModelError for what `to_json` never writes, UsageError where the package tokenizers is missing."""
        package = _package()
        try:
            return cls(package.Tokenizer.from_str(json.dumps(stored["tokenizer"])))
        except Exception as error:  # the package raises bare Exception
            raise ModelError(f"the subwords cannot be read ({error}); save the model again") from error


def _package() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise UsageError("subwords need the package tokenizers; pip install 'elman[subwords]'") from error
    return tokenizers
