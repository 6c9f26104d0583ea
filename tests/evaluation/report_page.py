"""The report's page as a reader finds it, and the files that it is made of."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
from PIL import Image

from cxr_pipeline.data.class_counts import (
    count_classes,
    count_classes_by_split_and_view,
    count_cooccurrence,
)
from cxr_pipeline.data.findings import PAPER_COUNTS
from cxr_pipeline.evaluation.report import DECODERS

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a reader finds on the page."""

    def __init__(self, html):
        super().__init__()
        self.open, self.images, self.rows, self.addresses, self.text = [], {}, [], [], ""
        self.scripts, self.styles, self.ids, self.captions, self.charts = [], [], [], [], {}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            assert attrs["alt"] not in self.images
            self.images[attrs["alt"]] = attrs["src"]
        if tag == "table":
            self.captions.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag == "script":
            self.scripts.append((attrs, ""))
        if attrs.get("class") == "plot":
            self.charts[attrs["aria-label"]] = len(self.scripts)
        self.ids += [attrs["id"]] if "id" in attrs else []
        leads = ("src", "href", "srcset", "data", "action", "poster", "background", "xlink:href")
        self.addresses += [attrs[name] for name in leads if name in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
            return
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
            return
        self.text += data
        if "caption" in self.open:
            self.captions[-1] += data
        if "tr" in self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def chart(self, label):
        return json.loads(self.scripts[self.charts[label]][1])


def picture_of(address):
    kind, data = address.split(",", 1)
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def save_picture(path, level):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), level, dtype=np.uint8)).save(path)


def save_data_and_tables(reports):
    """What all but training leaves behind."""
    reports.mkdir()
    labels = pd.DataFrame({name: [name == "Mass"] * 1200 for name in PAPER_COUNTS})
    labels.loc[:6, "Hernia"] = True
    labels = labels.assign(view="PA", split="train")
    labels.loc[1100:, "split"] = "test"
    count_classes(labels).to_csv(reports / "class_counts.csv", index=False)
    by_split_and_view = count_classes_by_split_and_view(labels)
    by_split_and_view.to_csv(reports / "class_counts_by_split_and_view.csv", index=False)
    count_cooccurrence(labels).to_csv(reports / "cooccurrence.csv", index=False)
    (reports / "image_accounting.csv").write_text(
        "what,images\nlisted for the store,1200\nquarantined: truncated file,1\n"
    )
    (reports / "parameter_counts.csv").write_text(
        "model,component,parameters,paper,counted_as_paper,note\n"
        "gan,generator,3606976,3606976,,\ngan,extra,1234,,1000,without biases\n"
    )
    (reports / "gmvae_versions.csv").write_text(
        "version,dim_z,components,transition,normalise,encoder,decoder,conditioned,"
        "transition_net,total\nfs_v1,1000,50,True,True,vgg16,linear,True,154500,158038372\n"
        "v3,1000,50,False,True,vgg16,1,False,0,67741391\n"
    )
    for decoder in DECODERS:
        (reports / f"layers_decoder_{decoder}.csv").write_text(
            f"layer,weights,paper_weights\nInput,,N/A\nCONVT2D {decoder},1344,4*4*14*6\n"
        )
    (reports / "training_times.csv").write_text("model,images_per_second\ngan,219.46\n")
    save_picture(reports / "transformed_images.png", 10)


def save_model(reports, models, name, architecture, *, pictures=("samples",), **more):
    """What a model's training leaves behind."""
    for folder in (reports / name, models / name):
        folder.mkdir(parents=True)
    config = {
        "model": name,
        "architecture": architecture,
        "image_size": 4,
        "steps": 12_345,
        "training_images": 44_625,
        "data": "cxr14",
        "seconds": 3600.4,
        "images_per_second": 219.5,
        "environment": {"torch": "2.15", "device": "A quick <GPU>", "precision": "bf16-mixed"},
        "image_store": "0123456789abcdef",
        "warnings": [],
    }
    (models / name / "config.json").write_text(json.dumps(config | more))
    (reports / name / "history.csv").write_text(
        "step,metric,value\n1,loss/total,0.5\n2,loss/total,0.25\n2,latent/active_units,3\n"
    )
    for level, picture in enumerate(pictures):
        save_picture(reports / name / f"{picture}.png", 20 + level)


def save_gmvae(reports, models, **architecture):
    built = {"dim_z": 2000, "components": 300, "encoder": "vgg16", "decoder": "2"}
    built |= {"fine_tune": False, "findings": []}
    save_model(
        reports,
        models,
        "gmvae",
        built | architecture,
        pictures=("samples", "reconstructions"),
        parameters={"version": "v8"},
        encoder={"name": "vgg16", "weights": "random"},
    )


def save_sweep(folder):
    save_picture(folder / "samples.png", 60)
    (folder / "history.csv").write_text(
        "step,metric,value,member\n1,loss/total,0.5,beta_1\n1,loss/total,0.7,beta_0.1\n"
    )
    (folder / "summary.csv").write_text(
        "member,steps,images_per_second,loss/total\n"
        "beta_1,135.0,77.29,1234.5678\nbeta_0.1,135.0,77.31,0.123456\n"
    )


def save_finished(folder):
    """What runs of the GAN, the VAE and the sweep over betas leave behind."""
    reports, models = folder / "reports", folder / "models"
    save_data_and_tables(reports)
    save_model(reports, models, "gan", {})
    for step, level in ((0, 30), (400, 40), (1200, 50)):
        save_picture(reports / "gan" / "progress" / f"step_{step:06d}.png", level)
    save_model(
        reports,
        models,
        "vae",
        {"dim_z": 1024, "findings": []},
        pictures=("samples", "reconstructions", "samplers"),
        parameters={"beta": 0.1, "sampler": "mixture"},
        warnings=["posterior collapse: lower <beta>", "and another"],
    )
    save_picture(reports / "vae" / "progress" / "step_000100.png", 35)
    save_picture(reports / "vae" / "latents" / "same_noise.png", 70)
    save_sweep(reports / "vae_beta_sweep")


def spoken(page):
    return " ".join(page.text.split())


def missing(page):
    """The pipelines that the page names for parts that are not there, in their order."""
    return re.findall(r"Not made yet: kedro run --pipeline=(\w+)", page.text)
