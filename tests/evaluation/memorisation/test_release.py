import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from tests.conftest import read_picture
from tests.evaluation.memorisation.chests import image_set

from cxr_pipeline.data.labels import read_labels
from cxr_pipeline.evaluation.memorisation.gate import GateClosedError
from cxr_pipeline.evaluation.memorisation.release import release_sets

COUNT = 10

FOUND = {
    "missing": [],
    "facts": {
        "held_out": 60,
        "training_images": 200,
        "extractor": {"name": "classifier", "sha256": "ef" * 32},
        "power": {"exact": 1.0},
    },
}


def samples(name="gan"):
    config = {
        "model": name,
        "image_size": 128,
        "parameters": {"selection": {"findings": []}},
        "weights_sha256": "ab" * 32,
        "image_store_digest": "cd" * 32,
        "steps": 400,
    }
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 16, 16), dtype=np.uint8)
    return image_set(name, pixels, config=config, seed=3, temperature=0.8)


def flagged(count):
    return np.arange(COUNT) < count


def export(folder, *sets, flags, found=FOUND, max_memorised=0.2, leave_out=True):
    release_sets(
        sets,
        flags,
        found,
        folder,
        max_memorised=max_memorised,
        leave_out=leave_out,
        describe=lambda config, provenance: f"{config['model']}, {provenance['images']} images",
    )


def record(folder):
    return json.loads((folder / "provenance.json").read_text())


def test_copies_are_left_out_and_the_record_says_what_was_looked_at(tmp_path):
    export(tmp_path, samples(), flags={"gan": flagged(2)})
    labels = read_labels(tmp_path / "gan")
    assert labels["image"].tolist() == [f"gan_{number:06d}.png" for number in range(2, COUNT)]
    made = record(tmp_path / "gan")
    assert made["images"] == 8
    assert (made["audited"], made["copies"], made["copies_left_out"]) == (True, 2, True)
    assert (made["audited_samples"], made["max_memorised"]) == (COUNT, 0.2)
    assert made["audit_extractor"]["sha256"] == "ef" * 32
    assert made["image_store_digest"] == "cd" * 32
    assert made["audit_power"] == {"exact": 1.0}
    assert (tmp_path / "gan/DATASHEET.md").read_text() == "gan, 8 images"


def test_images_are_exported_as_the_model_draws_them(tmp_path):
    blocks = tmp_path / "0.npy", tmp_path / "1.npy"
    for level, count, path in zip((7, 13), (6, 4), blocks, strict=True):
        np.save(path, np.full((count, 32, 32), level, dtype=np.uint8))
    sets = replace(samples(), drawn=blocks)
    export(tmp_path, sets, flags={"gan": flagged(9)}, max_memorised=None)
    (left,) = (tmp_path / "gan/images").iterdir()
    assert left.name == "gan_000009.png"
    assert np.array_equal(read_picture(left), np.full((32, 32), 13))


def test_by_option_copies_stay_and_the_record_says_so(tmp_path):
    export(tmp_path, samples(), flags={"gan": flagged(2)}, leave_out=False)
    assert len(read_labels(tmp_path / "gan")) == COUNT
    made = record(tmp_path / "gan")
    assert (made["copies"], made["copies_left_out"], made["images"]) == (2, False, COUNT)


def test_a_closed_gate_removes_the_old_export_and_lets_other_models_pass(tmp_path):
    export(tmp_path, samples(), flags={"gan": flagged(0)})
    (tmp_path / "gan/README.md").write_text("mine")
    sets = samples(), samples("vae")
    flags = {"gan": flagged(3), "vae": flagged(1)}
    with pytest.raises(GateClosedError) as caught:
        export(tmp_path, *sets, flags=flags)
    message = str(caught.value)
    assert message.splitlines() == [message]
    for part in ("gan", "3 of 10", "30.0%", "evaluation.max_memorised=0.2"):
        assert part in message
    assert "vae" not in message
    assert [path.name for path in (tmp_path / "gan").iterdir()] == ["README.md"]
    assert len(read_labels(tmp_path / "vae")) == COUNT - 1


@pytest.mark.parametrize(("copies", "limit"), [(2, 0.2), (0, 0.0), (COUNT, None)])
def test_the_gate_is_open_up_to_the_limit_and_where_there_is_none(tmp_path, copies, limit):
    export(
        tmp_path, samples(), flags={"gan": flagged(copies)}, max_memorised=limit, leave_out=False
    )
    assert len(read_labels(tmp_path / "gan")) == COUNT


def test_what_was_not_audited_is_not_exported(tmp_path, caplog):
    export(tmp_path, samples(), flags={"gan": flagged(0)})
    reason = {"model": "gan", "metric": "memorisation/copies", "reason": "too few images: add some"}
    with caplog.at_level(logging.WARNING):
        export(tmp_path, samples(), flags={}, found=FOUND | {"missing": [reason]})
    assert "gan is not exported" in caplog.text
    assert "too few images: add some" in caplog.text
    assert not (tmp_path / "gan/images").exists()
    assert not (tmp_path / "gan/provenance.json").exists()


def test_without_a_gate_it_is_exported_as_not_audited(tmp_path):
    export(tmp_path, samples(), flags={}, max_memorised=None)
    assert record(tmp_path / "gan")["audited"] is False


def test_folders_of_images_stay_where_they_are(tmp_path):
    folder = image_set("mine", samples().pixels)
    export(tmp_path, folder, flags={"mine": flagged(COUNT)})
    assert list(tmp_path.iterdir()) == []
