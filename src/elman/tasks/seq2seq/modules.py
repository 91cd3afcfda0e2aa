"""The encoder-decoder: source symbols -> recurrent layers; target symbols -> causal recurrent layers and attention."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, logsigmoid

from elman.layers.attention import (
    FAR,
    Additive,
    Memory,
    Reading,
    attend,
    forward_algorithm,
    mix,
    monotonic_steps,
    scores,
)
from elman.layers.embedding import RareEmbedding
from elman.layers.softmax import log_probabilities, top_log_probabilities, top_of, vocabulary_loss
from elman.recurrent import Cell, Dropout, Packed, Stack, recurrent_stack
from elman.recurrent.cell import evaluated, listen_to_gates
from elman.recurrent.plan import affine, array
from elman.recurrent.states import map_state
from elman.tasks.examine import Outcome
from elman.tasks.plan import Attending
from elman.tasks.seq2seq.answers import is_feature
from elman.tasks.seq2seq.config import Seq2SeqConfig
from elman.tasks.seq2seq.data import Batch, Sources, Vocabularies
from elman.tasks.seq2seq.states import DecoderState, Encoded, Fed

STEP = 4.0  # the first weight of moving one position on, against any other move, and of copying against writing


class Scored:
    """One step: how likely every symbol is, then every one that is only copied.

    weights: (rows, positions) how much each position was attended to, or None without attention
    """

    def __init__(
        self,
        network: Seq2SeqNetwork,
        encoded: Encoded,
        reading: Reading,
        cells: Any,
        fed: Fed,
        h: Tensor | None,
        weights: Tensor | None,
        joint: Tensor | None,
    ) -> None:
        """cells, fed: of the next state; h (rows, size): what the softmax multiplies, with soft attention or none;
        weights (pairs,); joint (pairs, symbols): log p(position, symbol), with hard attention."""
        self._network, self._encoded, self._reading, self._cells, self._fed = network, encoded, reading, cells, fed
        self._h, self._weights, self._joint = h, weights, joint

    @cached_property
    def logs(self) -> Tensor:
        """(rows, vocabulary + extra) the log-probability of every symbol."""
        if self._joint is not None:
            return self._reading.logsumexp(self._joint)
        assert self._h is not None
        return self._network._distribution(self._h, self._weights, self._encoded, self._reading)

    def best(self, count: int, first: int) -> tuple[Tensor, Tensor]:
        """(rows, count) log-probabilities and ids of the likeliest symbols from id `first` on, best first."""
        network = self._network
        if self._h is None or network.gate is not None:
            return top_of(self.logs, count, first)
        return top_log_probabilities(self._h, network.output_weight, network.bias, count, first)

    @property
    def weights(self) -> Tensor | None:
        if self._joint is not None:
            return self._reading.dense(self._joint.logsumexp(-1).exp(), 0.0)
        return None if self._weights is None else self._reading.dense(self._weights, 0.0)

    def attended(self, rows: Tensor, symbols: Tensor) -> Tensor | None:
        """(n,) the position that each symbol was likeliest written from: rows (n,), symbols (n,)."""
        if self._joint is None:
            return None if self._weights is None else self._reading.dense(self._weights, 0.0)[rows].argmax(-1)
        return self._placed(rows, symbols).argmax(-1)

    def _placed(self, rows: Tensor, symbols: Tensor) -> Tensor:
        """(n, positions) log p(position, symbol)."""
        assert self._joint is not None
        table = self._reading.dense(torch.arange(len(self._joint)), 0)
        exists = self._reading.dense(torch.ones(len(self._joint), dtype=torch.bool), False)
        return self._joint[table[rows], symbols.unsqueeze(1)].masked_fill(~exists[rows], FAR)

    def next(self, rows: Tensor, symbols: Tensor) -> DecoderState:
        """The state of these rows after each has written its symbol: rows (n,), symbols (n,)."""
        state = DecoderState(self._cells, self._fed, None).take(rows)
        if not self._network.config.monotonic:
            return state
        placed = self._placed(rows, symbols).log_softmax(-1)
        return state._replace(places=torch.cat([torch.full_like(placed[:, :1], FAR), placed], -1))


class Seq2SeqNetwork(nn.Module):
    """p(target | source), symbol by symbol.

    Encoder: vectors -> dropout -> recurrent layers, in both directions or one. Decoder: vectors (| what is fed) ->
    dropout -> causal recurrent layers, started from the encoder's last state through a linear map and tanh -> dropout
    -> attention -> hidden layer -> softmax over the target's symbols.

    none           hidden = s W                                             Sutskever, Vinyals and Le 2014
    dot, general   a = softmax(s h) or softmax(s W_a h), hidden = tanh([c; s] W)   Luong, Pham and Manning 2015
    additive       a = softmax(v tanh(s_{t-1} W + h U)); the decoder reads [y_{t-1}; c]   Bahdanau, Cho and Bengio 2015
    hard           p(y) = sum_j p(j) p(y | j), hidden_j = tanh(s W_s + h_j W_h)   Wu, Shapiro and Cotterell 2018;
                   monotonic: p(j | i) = 0 for j < i, and a weight for each j - i, summed by the forward algorithm
                                                                            Wu and Cotterell 2019
    features       are read before the source; the sum of their vectors is also added to all that the decoder reads
    copy           p(y) = g p_softmax(y) + (1 - g) sum_{j: x_j = y} a_j            See, Liu and Manning 2017
    """

    def __init__(
        self, config: Seq2SeqConfig, cell: type[Cell], decoder_cell: type[Cell], vocabularies: Vocabularies
    ) -> None:
        super().__init__()
        self.config = config
        size, hidden = config.embedding_size, config.hidden_size
        self.source = RareEmbedding(vocabularies.counts, size, config.unknown)
        assert self.source.embedding is not None
        encoder = recurrent_stack(
            cell, size, hidden, config.layers, bidirectional=not config.one_way, dropout=config.dropout
        )
        self.layers = Stack(Dropout(config.dropout), encoder)
        width = encoder.output_size
        self.target: nn.Embedding = (
            self.source.embedding if config.shared else nn.Embedding(len(vocabularies.target), size)
        )
        if not config.shared:
            nn.init.normal_(self.target.weight, std=size**-0.5)
        attention = config.attention
        out = size if config.tied else hidden
        fed = (width if attention == "additive" else out if config.input_feeding else 0) + (
            size if config.output_feedback else 0
        )
        recurrent = recurrent_stack(
            decoder_cell, size + fed, hidden, config.layers, bidirectional=False, dropout=config.dropout
        )
        self.decoder = Stack(Dropout(config.dropout), *recurrent.layers)
        self.decoder.require_causal("a decoder")
        written = recurrent.output_size
        units: list[int] = []
        map_state(lambda value: units.append(value.shape[1]) or value, self.decoder.initial(1, self.target.weight))  # type: ignore[func-returns-value]
        self.units = units
        self.bridge = nn.Linear(width, sum(units))
        self.out_dropout = Dropout(config.dropout)
        self.query = nn.Linear(written, width, bias=False) if attention in ("general", "hard") else None
        self.additive = Additive(written, width, hidden) if attention == "additive" else None
        if attention == "dot" and written != width:
            self.key: nn.Linear | None = nn.Linear(width, written, bias=False)
        else:
            self.key = None
        self.read_h = nn.Linear(width, out) if attention == "hard" else None
        reads = written if attention in ("none", "hard") else written + width
        self.hidden = nn.Linear(reads, out, bias=attention != "hard")
        self.gate = nn.Linear(out, 1) if config.copy else None
        self.moves: nn.Parameter | None = None
        if config.monotonic:
            # an untrained network steps through the source; if it can copy, it copies it
            self.moves = nn.Parameter(torch.tensor([0.0, STEP, 0.0, 0.0, 0.0]))
            if self.gate is not None:
                nn.init.constant_(self.gate.bias, -STEP)
        self.writer: nn.Parameter | None = None
        if not config.tied:
            self.writer = nn.Parameter(torch.empty(len(vocabularies.target), out).uniform_(-0.1, 0.1))
        self.bias = nn.Parameter(torch.zeros(len(vocabularies.target)))
        self.features = nn.Linear(size, size, bias=False) if any(map(is_feature, vocabularies.source)) else None

    @property
    def output_weight(self) -> Tensor:
        """(vocabulary, size) the matrix that writes symbols."""
        return self.target.weight if self.writer is None else self.writer

    @property
    def in_half(self) -> bool:
        """Whether products are in bfloat16."""
        return self.config.precision == "bfloat16"

    # The encoder ------------------------------------------------------------------------------------------------

    def encode(self, sources: Sources, order: Tensor) -> Encoded:
        """Read sources. order: (n,) the sources, as indices, in the order in which the decoder has them."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            outs, state = self.layers(sources.ids.with_data(self.source(sources.ids.data)), None)
        memory, positions = sources.memory(order)
        values = outs.data.float()[sources.rows[positions]] if self.in_half else outs.data[sources.rows[positions]]
        final = outs.caller_rows(self.layers.final(state))[order]
        values = values.to(self.bias.dtype)
        keys = values
        if self.additive is not None:
            keys = self.additive.key(values)
        elif self.key is not None:
            keys = self.key(values)
        parts = iter(torch.tanh(self.bridge(final.to(self.bias.dtype))).split(self.units, -1))
        like = self.decoder.initial(len(order), self.bias)
        return Encoded(
            memory,
            values,
            keys,
            None if self.read_h is None else self.read_h(values),
            sources.copies[positions],
            len(sources.extra),
            map_state(lambda _: next(parts).contiguous(), like),
            self._features(sources, positions, memory),
            torch.zeros(len(memory.starts) - 1, dtype=torch.long).index_add(
                0, memory.owner, sources.features[positions].long()
            ),
        )

    def _features(self, sources: Sources, positions: Tensor, memory: Memory) -> Tensor | None:
        """(sources, embedding_size) the sum of each source's features' vectors, times a matrix."""
        if self.features is None:
            return None
        chosen = sources.features[positions]
        vectors = self.source(sources.ids.data[sources.rows[positions]][chosen])
        total = vectors.new_zeros(len(memory.starts) - 1, vectors.shape[1])
        summed: Tensor = self.features(total.index_add(0, memory.owner[chosen], vectors))
        return summed

    # The decoder ------------------------------------------------------------------------------------------------

    def _attend(self, s: Tensor, encoded: Encoded, reading: Reading) -> tuple[Tensor | None, Tensor | None]:
        """The context (rows, width) of soft attention, and its weights (pairs,)."""
        if self.additive is not None:
            weights = reading.softmax(self.additive(s, encoded.keys, reading)).exp()
            return mix(weights, encoded.values, reading), weights
        if self.config.attention in ("none", "hard"):
            return None, None
        query = s if self.query is None else self.query(s)
        return attend(query, encoded.keys, encoded.values, reading)

    def _hidden(self, s: Tensor, context: Tensor | None) -> Tensor:
        """(rows, size) what the softmax multiplies."""
        if context is None:
            h: Tensor = self.hidden(s)
            return h if self.config.attention == "none" and self.config.tied else torch.tanh(h)
        return torch.tanh(self.hidden(torch.cat([context, s], -1)))

    def _start(self, encoded: Encoded, rows: int) -> Fed:
        """What the first step is fed: zeros."""
        zeros = self.bias.new_zeros
        config = self.config
        return Fed(
            zeros(rows, self.hidden.out_features) if config.input_feeding else None,
            zeros(rows, config.embedding_size) if config.output_feedback else None,
        )

    def _run(
        self, read: Packed, encoded: Encoded, vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Reading]:
        """All steps with the given symbols: the last layer's output (rows, hidden) after dropout, context, weights.
        vectors: (rows, embedding_size) those of the symbols, if they are there already."""
        if vectors is None:
            vectors = embedding(read.data, self.target.weight)
        if encoded.features is not None:
            vectors = vectors + encoded.features[read.sequence_of_row]
        reading = Reading.of(encoded.memory, read.sequence_of_row)
        if self.config.fed:
            return *self._run_fed(read, vectors, encoded, reading), reading
        with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
            ys, _ = self.decoder.run(read.with_data(vectors), encoded.initial)
        ys, _ = self.out_dropout.run(ys, ())
        s = ys.data.to(self.bias.dtype)
        return s, *self._attend(s, encoded, reading), reading

    def _run_fed(
        self, read: Packed, vectors: Tensor, encoded: Encoded, reading: Reading
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """As `_run`, step by step, since each step reads what the one before gave."""
        n = read.sequences
        decoder = _FedDecoder(self, n)
        inputs = decoder.inputs(vectors, read.sequence_of_row).split(read.batch_sizes)
        cells, fed = encoded.initial, self._start(encoded, n)
        outs: list[Tensor] = []
        contexts: list[Tensor] = []
        shares: list[Tensor] = []
        with listen_to_gates(None):  # these steps are not those of the layers that are inspected
            for a in inputs:
                rows = len(a)
                if rows < n:
                    n = rows
                    cells = map_state(lambda value: value[:n], cells)  # noqa: B023 - called at once
                    fed = Fed(*(None if part is None else part[:n] for part in fed))
                here = Reading.of(encoded.memory, torch.arange(n))
                s, context, weights, cells, fed, _ = decoder.step(a, fed, cells, encoded, here)
                outs.append(s)
                if context is not None and weights is not None:
                    contexts.append(context)
                    shares.append(weights)
        s = torch.cat(outs)
        if not contexts:
            return s, None, None
        # of each step, the sources in order -> of each source, the steps in order
        starts = torch.tensor([0, *[len(w) for w in shares]], dtype=torch.long).cumsum(0)[:-1]
        first = torch.tensor(encoded.memory.starts, dtype=torch.long)
        position = starts[read.position_of_row[reading.row]] + first[reading.which[reading.row]] + reading.place
        return s, torch.cat(contexts), torch.cat(shares)[position]

    def attending(self) -> Attending:
        """Attention, as data."""
        query, key, v = self.query, self.key, None
        if self.additive is not None:
            query, key, v = self.additive.query, self.additive.key, array(self.additive.v)
        return Attending(
            self.config.attention,
            None if query is None else array(query.weight),
            None if key is None else affine(key),
            v,
            affine(self.hidden),
            None if self.read_h is None else affine(self.read_h),
            not self.config.tied,
            None if self.moves is None else array(self.moves),
            None if self.gate is None else affine(self.gate),
        )

    def log_probabilities(self, batch: Batch) -> Tensor:
        """(rows,) of each target symbol and end, given those before it."""
        encoded = self.encode(batch.sources, batch.read.order)
        s, context, weights, reading = self._run(batch.read, encoded)
        if self.config.attention == "hard":
            return self._hard(s, encoded, reading, batch)
        h = self._hidden(s, context)
        if self.gate is not None:
            assert weights is not None
            return self._with_copies(h, weights, encoded, reading, batch)
        return log_probabilities(h, self.output_weight, self.bias, batch.targets)

    def loss(self, batch: Batch) -> Tensor:
        """The negative log-likelihood of all target symbols and ends, summed, with label smoothing."""
        if self.config.attention == "hard" or self.config.copy:
            return -self.log_probabilities(batch).sum()
        encoded = self.encode(batch.sources, batch.read.order)
        s, context, _, _ = self._run(batch.read, encoded)
        h = self._hidden(s, context)
        weight, smoothing = self.output_weight, self.config.smoothing if self.training else 0.0
        loss = vocabulary_loss(h, weight, self.bias, batch.targets)
        if smoothing:
            # (1 - e) NLL + e mean_y(-log p(y)) = NLL + e (score of the target - mean score)
            mean = h @ weight.mean(0) + self.bias.mean()
            gold = (h * embedding(batch.targets, weight)).sum(-1) + self.bias[batch.targets]
            loss = loss + smoothing * (gold - mean).sum()
        return loss

    def outcome(self, batch: Batch) -> Outcome:
        """The pass that `examine` describes: one output per target symbol, in plain torch."""
        encoded = self.encode(batch.sources, batch.read.order)
        vectors = embedding(batch.read.data, self.target.weight)
        s, context, weights, reading = self._run(batch.read, encoded, vectors)
        wanted = self._wanted(batch)
        if self.config.attention == "hard":
            logs = self._emissions(s, encoded, reading)
            prior = self._priors(s, encoded, reading, logs.gather(1, wanted[reading.row]).squeeze(1), batch)
            logs = reading.logsumexp(prior.unsqueeze(1) + logs)
        else:
            logs = self._distribution(self._hidden(s, context), weights, encoded, reading)
        losses = -logs.gather(1, wanted).squeeze(1)
        return Outcome(losses, None, logs, losses.detach(), vectors)

    def alignment(self, batch: Batch) -> Tensor | None:
        """(rows, longest source) how much each target symbol, and the end, is read from each position; None without
        attention. The rows are those of `batch.read`, each sums to 1, and beyond the end of a source there are zeros.

        With soft attention, the weights of the step that writes the symbol, which has not seen it. With hard attention,
        the posterior p(position | source, whole target). It is the gradient of log p(target) with respect to the
        log-probabilities of the symbol at each position (Eisner 2016: forward-backward is backpropagation)."""
        with torch.no_grad():
            encoded = self.encode(batch.sources, batch.read.order)
            s, _, weights, reading = self._run(batch.read, encoded)
            if self.config.attention == "hard":
                logs = self._emissions(s, encoded, reading)
                with torch.enable_grad():
                    emitted = logs.gather(1, self._wanted(batch)[reading.row]).squeeze(1).requires_grad_()
                    joint = self._priors(s, encoded, reading, emitted, batch) + emitted
                    (weights,) = torch.autograd.grad(reading.logsumexp(joint).sum(), emitted)
            return None if weights is None else reading.dense(weights, 0.0)

    def _wanted(self, batch: Batch) -> Tensor:
        """(rows, 1) ids of what is to be written, among the symbols that can be."""
        return (batch.targets if self.gate is None else batch.copies).unsqueeze(1)

    def _distribution(self, h: Tensor, weights: Tensor | None, encoded: Encoded, reading: Reading) -> Tensor:
        """(rows, vocabulary + extra) log-probabilities of every symbol, with soft attention or none."""
        logs = linear(h, self.output_weight, self.bias).log_softmax(-1)
        if self.gate is None:
            return logs
        assert weights is not None
        gate = self.gate(h)
        place = (reading.row, encoded.copies[reading.position])
        copied = logs.new_zeros(len(logs), logs.shape[1] + encoded.extra).index_put(place, weights, accumulate=True)
        wide = torch.cat([logs, logs.new_full((len(logs), encoded.extra), FAR)], -1)
        return torch.logaddexp(logsigmoid(gate) + wide, logsigmoid(-gate) + copied.clamp(min=1e-30).log())

    def _with_copies(self, h: Tensor, weights: Tensor, encoded: Encoded, reading: Reading, batch: Batch) -> Tensor:
        """(rows,) log p of each target, written or copied."""
        assert self.gate is not None
        gate = self.gate(h).squeeze(-1)
        logs = linear(h, self.output_weight, self.bias).log_softmax(-1)
        written = logs.gather(1, batch.targets.unsqueeze(1)).squeeze(1)
        # what only copying can write is written as the unknown symbol by the softmax: that does not count
        written = written.masked_fill(batch.copies >= logs.shape[1], FAR)
        same = encoded.copies[reading.position] == batch.copies[reading.row]
        copied = reading.sums(weights * same).clamp(min=1e-30).log()
        return torch.logaddexp(logsigmoid(gate) + written, logsigmoid(-gate) + copied)

    # Hard attention ---------------------------------------------------------------------------------------------

    def _pair_hidden(self, s: Tensor, encoded: Encoded, reading: Reading) -> Tensor:
        """(pairs, size) tanh(s W_s + h W_h): one product for each side, not one for each pair."""
        assert encoded.hidden is not None
        return torch.tanh(self.hidden(s)[reading.row] + encoded.hidden[reading.position])

    def _place_scores(self, s: Tensor, encoded: Encoded, reading: Reading) -> Tensor:
        assert self.query is not None
        return scores(self.query(s), encoded.keys, reading)

    def _hard(self, s: Tensor, encoded: Encoded, reading: Reading, batch: Batch) -> Tensor:
        """(rows,) log p of each target symbol, the alignment summed out."""
        z = self._pair_hidden(s, encoded, reading)
        logs = linear(z, self.output_weight, self.bias).log_softmax(-1)
        wanted = batch.targets[reading.row]
        emitted = logs.gather(1, wanted.unsqueeze(1)).squeeze(1)
        if self.gate is not None:
            gate = self.gate(z).squeeze(-1)
            copies = batch.copies[reading.row]
            emitted = emitted.masked_fill(copies >= logs.shape[1], FAR)
            same = encoded.copies[reading.position] == copies
            emitted = torch.logaddexp(logsigmoid(gate) + emitted, logsigmoid(-gate) + (~same) * FAR)
        return reading.logsumexp(self._priors(s, encoded, reading, emitted, batch) + emitted)

    def _priors(self, s: Tensor, encoded: Encoded, reading: Reading, emitted: Tensor, batch: Batch) -> Tensor:
        """(pairs,) log p(position | symbols before). emitted (pairs,): log p(target symbol | position)."""
        places = self._place_scores(s, encoded, reading)
        if self.moves is None:
            return reading.softmax(places)
        dense, emissions = reading.dense(places, FAR), reading.dense(emitted, FAR)
        steps = monotonic_steps(dense, self.moves, encoded.first[reading.which])
        priors = forward_algorithm(steps, emissions, batch.read.batch_sizes)
        return priors[reading.row, reading.place]

    def _emissions(self, s: Tensor, encoded: Encoded, reading: Reading) -> Tensor:
        """(pairs, vocabulary + extra) log p(symbol | position)."""
        z = self._pair_hidden(s, encoded, reading)
        logs = linear(z, self.output_weight, self.bias).log_softmax(-1)
        if self.gate is None:
            return logs
        gate = self.gate(z)
        wide = torch.cat([logs, logs.new_full((len(logs), encoded.extra), FAR)], -1)
        copied = torch.full_like(wide, FAR)
        copied[torch.arange(len(wide)), encoded.copies[reading.position]] = 0.0
        return torch.logaddexp(logsigmoid(gate) + wide, logsigmoid(-gate) + copied)

    # One step ---------------------------------------------------------------------------------------------------

    def start(self, encoded: Encoded) -> DecoderState:
        """Before the first symbol, one row per source."""
        rows = len(encoded.memory.starts) - 1
        places = None
        if self.config.monotonic:
            places = self.bias.new_full((rows, 1 + int(encoded.memory.lengths.max())), FAR)
            places[:, 0] = 0.0
        return DecoderState(encoded.initial, self._start(encoded, rows), places)

    def step(self, ids: Tensor, which: Tensor, state: DecoderState, encoded: Encoded) -> Scored:
        """The log-probability of every next symbol.

        ids (rows,) the symbol written last, or read first; which (rows,) the source of each row."""
        reading = Reading.of(encoded.memory, which)
        vectors = embedding(ids, self.target.weight)
        if encoded.features is not None:
            vectors = vectors + encoded.features[which]
        rows = len(ids)
        fed, h = state.fed, None
        if self.config.fed:
            decoder = _FedDecoder(self, rows)
            a = decoder.inputs(vectors, torch.arange(rows))
            s, context, weights, cells, fed, h = decoder.step(a, fed, state.cells, encoded, reading)
        else:
            layout = Packed(vectors, [rows] if rows else [], [1] * rows, torch.arange(rows))
            with torch.autocast("cpu", torch.bfloat16, enabled=self.in_half):
                ys, cells = self.decoder.run(layout, state.cells)
            s = ys.data.to(self.bias.dtype)
            context, weights = self._attend(s, encoded, reading)
        joint = None
        if self.config.attention == "hard":
            h, joint = None, self._joint(s, encoded, reading, state.places)
        elif h is None:
            h = self._hidden(s, context)
        return Scored(self, encoded, reading, cells, fed, h, weights, joint)

    def _joint(self, s: Tensor, encoded: Encoded, reading: Reading, before: Tensor | None) -> Tensor:
        """(pairs, vocabulary + extra) log p(position, symbol | what was written)."""
        logs, places = self._emissions(s, encoded, reading), self._place_scores(s, encoded, reading)
        if before is None or self.moves is None:
            prior = reading.softmax(places)
        else:
            steps = monotonic_steps(reading.dense(places, FAR), self.moves, encoded.first[reading.which])
            prior = (before.unsqueeze(-1) + steps).logsumexp(-2)[reading.row, reading.place]
        return prior.unsqueeze(-1) + logs


class _FedDecoder:
    """The decoder of a network, step by step with gradients. In training, masks are drawn here, one per sequence.

    [x; fed] W is linear, so that the vectors' part is one product for all steps; the fed part is added to what the
    recurrence multiplies."""

    def __init__(self, network: Seq2SeqNetwork, sequences: int) -> None:
        self.network = network
        self.cells = [evaluated(layer.cell) if layer.recurrent else None for layer in network.decoder.layers][1:]  # type: ignore[arg-type]
        self.first, self.split = self.cells[0], network.config.embedding_size
        assert self.first is not None
        widths = [self.split, self.first.input_size - self.split]
        widths += [cell.output_size for cell in self.cells if cell is not None]
        p = network.config.dropout if network.training else 0.0
        self.masks: list[Tensor | None] = [None] * len(widths)
        if p:
            like = network.bias
            self.masks = [like.new_empty(sequences, width).bernoulli_(1 - p).div_(1 - p) for width in widths]

    def inputs(self, vectors: Tensor, sequence: Tensor) -> Tensor:
        """The part of the first cell's inputs that is known beforehand, for all rows; sequence (rows,)."""
        cell, mask = self.first, self.masks[0]
        assert cell is not None
        if mask is not None:
            vectors = vectors * mask[sequence]
        return torch.addmm(cell.b, vectors, cell.W[: self.split]) if cell.fits else vectors

    def step(
        self, a: Tensor, fed: Fed, states: Any, encoded: Encoded, reading: Reading
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Any, Fed, Tensor | None]:
        """(rows, ..) of `inputs` -> the output (rows, hidden), context, weights, states, what is fed next, and the
        hidden layer (rows, size) if it was needed."""
        network, first, n = self.network, self.first, len(a)
        assert first is not None
        config = network.config
        context = weights = h = None
        if network.additive is not None:  # attention decides from the state before
            top = self.cells[-1]
            assert top is not None
            context, weights = network._attend(top.O(states[-1]), encoded, reading)
        extra = torch.cat([part for part in (context, *fed) if part is not None], -1)
        if (mask := self.masks[1]) is not None:
            extra = extra * mask[:n]
        x = a + extra @ first.W[self.split :] if first.fits else torch.cat([a, extra], -1)
        after: list[Any] = [()]
        masks = iter(self.masks[2:])
        y: Tensor | None = None
        for cell, state in zip(self.cells, states[1:], strict=True):
            if cell is None:
                after.append(())
                continue
            state = cell.advance(state, x if y is None else cell.inputs(y))
            after.append(state)
            y, mask = cell.O(state), next(masks)
            y = y if mask is None else y * mask[:n]
        assert y is not None
        if network.additive is None:
            context, weights = network._attend(y, encoded, reading)
        distribution = None
        if config.input_feeding or config.output_feedback:
            h = network._hidden(y, context)
        if config.output_feedback:
            assert h is not None
            chances = linear(h, network.output_weight, network.bias).softmax(-1)
            distribution = chances @ network.target.weight
        return y, context, weights, tuple(after), Fed(h if config.input_feeding else None, distribution), h
