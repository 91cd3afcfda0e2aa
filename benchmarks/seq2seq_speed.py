"""Training speed of sequence to sequence, and of beam search, against the same network written plainly in torch.

The plain one: packed nn.LSTM encoder in both directions, nn.LSTM decoder, general attention on padded memory with a
mask, one softmax over padded rows. Both start from the same weights and see the same pairs, in turn, in blocks of a few
steps; medians of the ratios of blocks. The beams are 5 wide. Where the networks are hardly trained, no answer may end
before it is as long as the mean target, on either side, and most end soon after. With --model, a folder that
`seq2seq.py multi30k` left, the beams are those of a trained network over the test data of Multi30k, without a length
penalty, and what both write is compared."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

import elman
from elman.recurrent import CELLS, Stack
from elman.tasks.seq2seq.answers import SearchSettings
from elman.tasks.seq2seq.config import Seq2SeqConfig
from elman.tasks.seq2seq.data import END_ID, Vocabularies
from elman.tasks.seq2seq.modules import Seq2SeqNetwork
from elman.tasks.seq2seq.search import search
from elman.text.batching import batches_by_tokens
from elman.text.pairs import read_pairs
from elman.text.tokenizing import get_tokenizer
from machine import machine
from seq2seq import cmudict, multi30k

SETS = {
    "cmudict": (cmudict, "english", {"format": "tsv"}, "characters", "space", 1, 800),
    "multi30k": (multi30k, "de-en", {"format": "parallel"}, "space", "space", 2, 3000),
}
NOTHING = {"dropout": 0.0, "unknown": 0.0, "label_smoothing": 0.0}
BEAM, SEARCHED = 5, 64


class Plain(nn.Module):
    """What one writes in an hour."""

    def __init__(self, ours: Seq2SeqNetwork) -> None:
        super().__init__()
        config = ours.config
        size, hidden = config.embedding_size, config.hidden_size
        self.hidden_size = hidden
        self.source = nn.Embedding.from_pretrained(ours.source.embedding.weight.detach().clone(), freeze=False)
        self.target = nn.Embedding.from_pretrained(ours.target.weight.detach().clone(), freeze=False)
        self.encoder = elman.to_torch(ours.layers.layers[1])
        self.encoder.batch_first = True
        self.decoder = elman.to_torch(Stack(*[one for one in ours.decoder.layers if one.recurrent]))
        self.decoder.batch_first = True
        self.bridge, self.query, self.hidden = nn.Linear(2 * hidden, 2 * hidden), None, None
        self.query = nn.Linear(hidden, 2 * hidden, bias=False)
        self.hidden = nn.Linear(3 * hidden, size)
        for name in ("bridge", "query", "hidden"):
            getattr(self, name).load_state_dict(getattr(ours, name).state_dict())
        self.bias = nn.Parameter(ours.bias.detach().clone())

    def encode(self, source: torch.Tensor, lengths: torch.Tensor):
        packed = pack_padded_sequence(self.source(source), lengths, batch_first=True, enforce_sorted=False)
        memory, (h, _) = self.encoder(packed)
        memory, _ = pad_packed_sequence(memory, batch_first=True)
        h, c = torch.tanh(self.bridge(torch.cat([h[0], h[1]], -1))).split(self.hidden_size, -1)
        mask = torch.arange(memory.shape[1]) >= lengths.unsqueeze(1)
        return memory, mask, (h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous())

    def decode(self, ids: torch.Tensor, state, memory: torch.Tensor, mask: torch.Tensor):
        ys, state = self.decoder(self.target(ids), state)
        scores = torch.bmm(self.query(ys), memory.transpose(1, 2)).masked_fill(mask.unsqueeze(1), -torch.inf)
        context = torch.bmm(scores.softmax(-1), memory)
        h = torch.tanh(self.hidden(torch.cat([context, ys], -1)))
        return nn.functional.linear(h, self.target.weight, self.bias), state

    def loss(self, source, lengths, before, after):
        memory, mask, state = self.encode(source, lengths)
        logits, _ = self.decode(before, state, memory, mask)
        return nn.functional.cross_entropy(logits.flatten(0, 1), after.flatten(), ignore_index=-1, reduction="sum")

    @torch.inference_mode()
    def search(self, source, lengths, shortest: int, longest: int) -> list[list[int]]:
        """Beam search over a batch: all beams of all sources as rows, each step on all of them until all have ended."""
        memory, mask, (h, c) = self.encode(source, lengths)
        n = len(source)
        memory, mask = memory.repeat_interleave(BEAM, 0), mask.repeat_interleave(BEAM, 0)
        state = (h.repeat_interleave(BEAM, 1), c.repeat_interleave(BEAM, 1))
        total = torch.full((n, BEAM), -torch.inf)
        total[:, 0] = 0.0
        ids = torch.full((n * BEAM, 1), END_ID)
        ended = torch.zeros(n, BEAM, dtype=torch.bool)
        written = torch.zeros(n, BEAM, 0, dtype=torch.long)
        for step in range(longest):
            logits, state = self.decode(ids, state, memory, mask)
            logs = logits[:, 0].log_softmax(-1).view(n, BEAM, -1)
            logs[:, :, 0] = -torch.inf
            if step < shortest:
                logs[:, :, END_ID] = -torch.inf
            stay = torch.full_like(logs[0, 0], -torch.inf)
            stay[END_ID] = 0.0
            logs = torch.where(ended.unsqueeze(-1), stay, logs)
            best, index = (total.unsqueeze(-1) + logs).view(n, -1).topk(BEAM, -1)
            rows, chosen = index // logs.shape[-1], index % logs.shape[-1]
            total = best
            ended = ended.gather(1, rows) | (chosen == END_ID)
            written = torch.cat([written.gather(1, rows.unsqueeze(-1).expand_as(written)), chosen.unsqueeze(-1)], -1)
            flat = (torch.arange(n).unsqueeze(1) * BEAM + rows).flatten()
            state = tuple(part[:, flat] for part in state)
            ids = chosen.view(-1, 1)
            if ended.all():
                break
        return written[:, 0].tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("ELMAN_DATA"), help="folder of the corpora (or ELMAN_DATA)")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--steps", type=int, default=4, help="of a block")
    parser.add_argument("--model", help="a trained folder of Multi30k: measure its beam alone, over the test data")
    parser.add_argument("--out", default="benchmark-models", help="folder for prepared files")
    given = parser.parse_args()
    if not given.data:
        parser.error("expected --data DIR or ELMAN_DATA: the folder of the corpora")
    torch.set_num_threads(given.threads)
    if given.model:
        print(machine(), f"{given.threads} threads, {given.model}", sep=", ", flush=True)
        search_trained(given)
        return
    print(machine(), f"{given.threads} threads, {given.hidden} units, float32, Adam", sep=", ", flush=True)
    for name in given.sets:
        compare(name, given)


def compare(name: str, given: argparse.Namespace) -> None:
    prepare, language, how, source_tokenizer, target_tokenizer, minimum, budget = SETS[name]
    out = Path(given.out) / f"speed-{name}"
    out.mkdir(parents=True, exist_ok=True)
    files = prepare(Path(given.data), language, out)
    cut = get_tokenizer(source_tokenizer).split, get_tokenizer(target_tokenizer).split
    train = [(cut[0](pair.source), cut[1](pair.targets[0])) for pair in read_pairs(files[0], **how)]
    vocabularies = Vocabularies.of(train, minimum, False)
    groups = batches_by_tokens([len(s) + len(t) + 2 for s, t in train], budget, seed=1)
    networks = {}
    for kind, more in (("none", {}), ("input feeding", {"input_feeding": True})):
        torch.manual_seed(1)
        config = Seq2SeqConfig(hidden_size=given.hidden, minimum=minimum, **NOTHING, **more)
        networks[kind] = Seq2SeqNetwork(config, CELLS["lstm"], CELLS["lstm"], vocabularies)
    plain = Plain(networks["none"])
    sides = {"plain": plain, "elman": networks["none"], "elman, input feeding": networks["input feeding"]}
    optimizers = {side: torch.optim.Adam(network.parameters(), lr=1e-3) for side, network in sides.items()}
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for block in range(given.blocks + 1):
        chosen = groups[block * given.steps : (block + 1) * given.steps]
        for side, network in sides.items():
            symbols, began = 0, time.perf_counter()
            for group in chosen:
                sources, targets = zip(*(train[i] for i in group), strict=True)
                loss = plain_loss(plain, vocabularies, sources, targets) if side == "plain" else None
                if loss is None:
                    loss = network.loss(vocabularies.batch(sources, targets))
                count = sum(len(target) + 1 for target in targets)
                optimizers[side].zero_grad()
                (loss / count).backward()
                optimizers[side].step()
                symbols += count
            seconds[side].append((time.perf_counter() - began) / max(symbols, 1))
    speed = {side: 1 / statistics.median(times[1:]) for side, times in seconds.items()}
    print(f"{name}: training, target symbols/s: " + ", ".join(f"{side} {value:,.0f}" for side, value in speed.items()))
    for side in list(sides)[1:]:
        ratios = [a / b for a, b in zip(seconds["plain"][1:], seconds[side][1:], strict=True)]
        print(f"{name}: training, {side} against plain: {statistics.median(ratios):.2f}", flush=True)
    some = train[: SEARCHED * (given.blocks + 1)]
    shortest = round(statistics.mean(len(target) for _, target in some))
    for network in (plain, networks["none"]):
        with torch.no_grad():
            network.bias[END_ID] += 3.0
    sources = [source for source, _ in some]
    search_both(name, plain, networks["none"], vocabularies, sources, shortest, shortest + 20)


def search_trained(given: argparse.Namespace) -> None:
    model = elman.load(given.model)
    pairs = read_pairs(multi30k(Path(given.data), "de-en", Path())[2], format="parallel")
    sources = [model.source(pair).read() for pair in pairs]
    search_both("multi30k test", Plain(model.evaluated), model.evaluated, model.vocabularies, sources, 0, 60)


def padded(ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.tensor(row, dtype=torch.long) for row in ids]
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def plain_loss(plain: Plain, vocabularies: Vocabularies, sources, targets) -> torch.Tensor:
    source, lengths = padded([[*vocabularies.source.ids(s), END_ID] for s in sources])
    ids = [vocabularies.target.ids(target) for target in targets]
    before, _ = padded([[END_ID, *row] for row in ids])
    after = pad_sequence([torch.tensor([*row, END_ID]) for row in ids], batch_first=True, padding_value=-1)
    return plain.loss(source, lengths, before, after)


def search_both(
    name: str, plain: Plain, ours: Seq2SeqNetwork, vocabularies: Vocabularies, sources, shortest: int, longest: int
) -> None:
    plain.eval()
    ours.eval()
    same = 0
    settings = SearchSettings(BEAM, 1, 0.0, shortest)
    seconds: dict[str, list[float]] = {"plain": [], "elman": []}
    for first in range(0, len(sources), SEARCHED):
        some = sources[first : first + SEARCHED]
        began = time.perf_counter()
        theirs = plain.search(*padded([[*vocabularies.source.ids(s), END_ID] for s in some]), shortest, longest)
        seconds["plain"].append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            found = search([ours], [vocabularies.sources(some)], settings, [longest] * len(some), [""] * len(some))
        seconds["elman"].append(time.perf_counter() - began)
        same += sum(
            mine[0].ids == [*row, END_ID][: [*row, END_ID].index(END_ID)]
            for mine, row in zip(found, theirs, strict=True)
        )
    ratios = [a / b for a, b in zip(seconds["plain"][1:], seconds["elman"][1:], strict=True)]
    speed = {side: SEARCHED / statistics.median(times[1:]) for side, times in seconds.items()}
    print(f"{name}: beam {BEAM}, sources/s: " + ", ".join(f"{side} {value:,.1f}" for side, value in speed.items()))
    ratio = statistics.median(ratios)
    print(
        f"{name}: beam {BEAM}, elman against plain: {ratio:.2f}; {same} of {len(sources)} answers are the same",
        flush=True,
    )


if __name__ == "__main__":
    main()
