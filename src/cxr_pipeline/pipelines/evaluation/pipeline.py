"""Evaluation: trained models and real images held out -> scores, an audit, an export."""

from collections.abc import Collection, Sequence

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.evaluation.charts import loss_chart
from cxr_pipeline.pipelines.evaluation.classifier_nodes import (
    score_on_held_out,
    train_classifier,
)
from cxr_pipeline.pipelines.evaluation.nodes import (
    audit_memorisation,
    gather_sets,
    judge_agreement,
    measure_fidelity,
    train_each_arm,
)
from cxr_pipeline.pipelines.evaluation.score_nodes import (
    export_audited,
    gather_scores,
)

PARTS = ("fidelity", "agreement", "memorisation", "utility")

ROOMS = {"fidelity": "evaluation", "agreement": "evaluation"}
"""Parts that lie in a namespace of another name."""

JUDGE = ["classifier.config", "classifier.weights"]
SETTINGS = ["params:evaluation", "params:classifier"]


def create_classifier() -> Pipeline:
    """Chain the nodes that train and score the classifier of findings."""
    return _within(
        "classifier",
        [
            Node(
                train_classifier,
                ["images", "params:classifier", "classifier.checkpoints"],
                ["classifier.weights", "classifier.config", "classifier.history"],
                name="train",
            ),
            Node(loss_chart, "classifier.history", "classifier.losses", name="draw_losses"),
            Node(
                score_on_held_out, ["images", *JUDGE, *SETTINGS], "classifier.scores", name="score"
            ),
        ],
    )


def create_evaluation(parts: Collection[str] = PARTS, trained: Sequence[str] = ()) -> Pipeline:
    """Chain the nodes that evaluate models.

    Args:
        parts: Which of `PARTS`.
        trained: Models that the same run trains; it waits for them. Others are evaluated as they
            were left by earlier runs.
    """
    sources = ["images", "models", "image_stores", "image_stores_224", "evaluation.kept"]
    trained_before = [f"{model}.samples" for model in trained]
    sets = Node(
        gather_sets,
        [*sources, "params:evaluation", *trained_before],
        "evaluation.sets",
        name="gather_sets",
    )
    made = {
        "fidelity": Node(
            measure_fidelity,
            ["evaluation.sets", *JUDGE, *SETTINGS, "evaluation.kept"],
            "evaluation.fidelity",
            name="measure_fidelity",
        ),
        "agreement": Node(
            judge_agreement,
            ["evaluation.sets", *JUDGE, *SETTINGS],
            ["evaluation.agreement", "evaluation.agreement_by_finding"],
            name="judge_agreement",
        ),
        "memorisation": Node(
            audit_memorisation,
            ["evaluation.sets", "images", *JUDGE, *SETTINGS, "evaluation.kept"],
            [
                "memorisation.found",
                "memorisation.power",
                "memorisation.distances",
                "memorisation.closest_pairs",
                "memorisation.flags",
            ],
            name="audit",
        ),
        "utility": Node(
            train_each_arm,
            [*sources, *SETTINGS, "params:utility", "utility.models", *trained_before],
            ["utility.found", "utility.differences"],
            name="train_each_arm",
        ),
    }
    chosen = {part: made[part] for part in PARTS if part in parts}
    scores = Node(
        gather_scores,
        ["reports", "models", "params:evaluation", *(node.outputs[0] for node in chosen.values())],
        ["evaluation.scores", "evaluation.facts"],
        name="gather_scores",
    )
    # What the sets are for; utility draws more images of its own.
    gathered = [sets] if {*chosen} - {"utility"} else []
    pipelines = [_within("evaluation", gathered), _within("scorecard", [scores])]
    pipelines += [_within(ROOMS.get(part, part), [node]) for part, node in chosen.items()]
    return sum(pipelines, Pipeline([]))


def create_export() -> Pipeline:
    """The release gate and the export, once all else is written."""
    sources = ["evaluation.sets", "memorisation.flags", "memorisation.found", "reports"]
    export = Node(
        export_audited,
        [*sources, "params:evaluation", "released", "report"],
        None,
        name="export",
    )
    return _within("release", [export])


def _within(namespace: str, nodes: list[Node]) -> Pipeline:
    return Pipeline(nodes, namespace=namespace, prefix_datasets_with_namespace=False)
