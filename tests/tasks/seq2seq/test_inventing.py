from __future__ import annotations

from elman.tasks.seq2seq.inventing import invent


def test_stems_are_replaced_and_everything_else_stays() -> None:
    pairs = [(["<PST>", *"walken"], list("walkte")), (["<PL>", *"ab"], list("ba")), (["<PL>", *"αβγδ"], list("αβγδς"))]
    made = invent(pairs, 40, seed=1)
    assert len(made) == 40 and made == invent(pairs, 40, seed=1) != invent(pairs, 40, seed=2)
    for source, target in made:
        if source[0] == "<PST>":
            assert source[1] == "w" and source[4:] == ["k", "e", "n"] and target[3:] == ["k", "t", "e"]
            assert source[1:5] == target[:4] and len(source) == 7
        else:
            assert source[0] == "<PL>" and source[1] == "α" and target[-2:] == ["δ", "ς"] and source[1:] == target[:-1]
        assert set(source[1:]) <= set("walken") | set("αβγδ")
    assert len({tuple(source) for source, _ in made}) > 10
    assert invent([(list("ab"), list("ba"))], 5, seed=1) == []
