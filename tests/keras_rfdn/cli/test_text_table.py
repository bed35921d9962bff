from keras_rfdn.cli.text_table import text_table


def test_columns_by_hand():
    assert text_table(["name", "dB"], [["a", 31.5], ["longer", "–"]]) == "\n".join(
        [
            "name      dB",
            "------  ----",
            "a       31.5",
            "longer     –",
        ]
    )
