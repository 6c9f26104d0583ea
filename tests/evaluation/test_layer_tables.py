from math import prod

import pandas as pd
import pytest

from cxr_pipeline.evaluation.layer_tables import decoder_layer_table

TABLE_2 = """\
Input	1*14*14*14	N/A	N/A
CONVT2D (14,6,4,2,1)	1*6*28*28	4*4*14*6	6
CONVT2D (6,3,4,2,1)	1*3*56*56	4*4*6*3	3
CONVT2D (3,3,4,2,1)	1*3*112*112	4*4*3*3	3
CONVT2D (3,3,4,2,1)	1*3*224*224	4*4*3*3	3"""

TABLE_3 = """\
Input	1*128*14*14	N/A	N/A
CONVT2D (128,64,4,2,1)	1*64*28*28	4*4*128*64	64
CONVT2D (64,32,4,2,1)	1*32*56*56	4*4*64*32	32
CONVT2D (32,16,4,2,1)	1*16*112*112	4*4*32*16	16
CONVT2D (16,3,4,2,1)	1*3*224*224	4*4*16*3	3"""


def number_of(product):
    return pd.NA if product == "N/A" else prod(map(int, product.split("*")))


@pytest.mark.parametrize(("decoder", "printed"), [("1", TABLE_2), ("2", TABLE_3)])
def test_every_number_is_the_paper_s(decoder, printed):
    rows = [line.split("\t") for line in printed.splitlines()]
    table = decoder_layer_table(decoder)
    assert table["layer"].tolist() == [layer for layer, *_ in rows]
    assert table["activation_volume"].tolist() == [volume for _, volume, *_ in rows]
    expected = pd.DataFrame(
        [(number_of(weights), number_of(biases)) for *_, weights, biases in rows],
        columns=["weights", "biases"],
        dtype="Int64",
    )
    pd.testing.assert_frame_equal(table[["weights", "biases"]], expected)
    papers = ["paper_activation_volume", "paper_weights", "paper_biases"]
    assert table[papers].to_numpy().tolist() == [row[1:] for row in rows]
    assert list(table.columns) == ["layer", "activation_volume", "weights", "biases", *papers]


@pytest.mark.parametrize(("decoder", "total"), [("1", 1920), ("2", 172_800)])
def test_the_weights_add_up_to_table_5_s(decoder, total):
    assert decoder_layer_table(decoder)["weights"].sum() == total


@pytest.mark.parametrize("decoder", ["linear", "3"])
def test_a_decoder_without_a_table_is_refused(decoder):
    with pytest.raises(ValueError, match=rf"^decoder='{decoder}' has no table .*: set it to 1 or"):
        decoder_layer_table(decoder)
