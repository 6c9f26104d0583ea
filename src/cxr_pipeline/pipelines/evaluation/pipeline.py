"""Evaluation: trained models and real images held out -> scores, an audit, an export."""

from collections.abc import Collection, Sequence

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.evaluation.charts import loss_chart
from cxr_pipeline.pipelines.evaluation.nodes import (
    audit_memorisation,
    export_audited,
    gather_scores,
    gather_sets,
    judge_agreement,
    measure_fidelity,
    score_on_held_out,
    train_classifier,
    train_each_arm,
    write_cards,
)

PARTS = ("fidelity", "agreement", "memorisation", "utility")

JUDGE = ["classifier.config", "classifier.weights"]
SETTINGS = ["params:evaluation", "params:classifier"]


def create_classifier() -> Pipeline:
    """Chain the nodes that train and score the classifier of findings."""
    return Pipeline(
        [
            Node(
                train_classifier,
                ["images", "params:classifier", "classifier.checkpoints"],
                ["classifier.weights", "classifier.config", "classifier.history"],
                name="train",
            ),
            Node(loss_chart, "classifier.history", "classifier.losses", name="draw_losses"),
            Node(
                score_on_held_out,
                ["images", *JUDGE, *SETTINGS],
                "classifier.scores",
                name="score",
            ),
        ],
        namespace="classifier",
        prefix_datasets_with_namespace=False,
    )


def create_evaluation(
    parts: Collection[str] = PARTS, trained: Sequence[str] = ()
) -> tuple[Pipeline, list[str]]:
    """Chain the nodes that evaluate models, and those that export their samples.

    Args:
        parts: Which of `PARTS`.
        trained: Models that the same run trains; it waits for them. Others are evaluated as they
            were left by earlier runs.

    Returns:
        The pipeline, and its data sets that the report waits for.
    """
    sets = Node(
        gather_sets,
        [
            "images",
            "models",
            "image_stores",
            "image_stores_224",
            "evaluation.kept",
            "params:evaluation",
            *(f"{model}.samples" for model in trained),
        ],
        "evaluation.sets",
        name="gather_sets",
    )
    chosen = [(name, *_PARTS[name]) for name in PARTS if name in parts]
    found = [nodes[0].outputs[0] for _, _, nodes in chosen]
    scores = Node(
        gather_scores,
        ["reports", "models", *found],
        ["evaluation.scores", "evaluation.facts"],
        name="gather_scores",
    )
    cards = Node(
        write_cards,
        ["evaluation.scores", "evaluation.facts", "reports", "models"],
        None,
        name="write_cards",
    )
    inner = {
        namespace: Pipeline(nodes, namespace=namespace, prefix_datasets_with_namespace=False)
        for _, namespace, nodes in chosen
        if namespace != "evaluation"
    }
    own = [node for _, namespace, nodes in chosen if namespace == "evaluation" for node in nodes]
    whole = Pipeline(
        [sets, *own, scores, cards], namespace="evaluation", prefix_datasets_with_namespace=False
    )
    return sum(inner.values(), whole), ["evaluation.scores"]


def create_export() -> Pipeline:
    """The release gate and the export, once all else is written."""
    return Pipeline(
        [
            Node(
                export_audited,
                [
                    "evaluation.sets",
                    "memorisation.flags",
                    "memorisation.found",
                    "params:evaluation",
                    "released",
                    "report",
                ],
                None,
                name="export",
            )
        ],
        namespace="memorisation",
        prefix_datasets_with_namespace=False,
    )


_PARTS: dict[str, tuple[str, list[Node]]] = {
    "fidelity": (
        "evaluation",
        [
            Node(
                measure_fidelity,
                ["evaluation.sets", *JUDGE, *SETTINGS, "evaluation.kept"],
                "evaluation.fidelity",
                name="measure_fidelity",
            )
        ],
    ),
    "agreement": (
        "evaluation",
        [
            Node(
                judge_agreement,
                ["evaluation.sets", *JUDGE, *SETTINGS],
                ["evaluation.agreement", "evaluation.agreement_by_finding"],
                name="judge_agreement",
            )
        ],
    ),
    "memorisation": (
        "memorisation",
        [
            Node(
                audit_memorisation,
                ["evaluation.sets", *JUDGE, *SETTINGS, "evaluation.kept"],
                [
                    "memorisation.found",
                    "memorisation.power",
                    "memorisation.distances",
                    "memorisation.closest_pairs",
                    "memorisation.flags",
                ],
                name="audit",
            )
        ],
    ),
    "utility": (
        "utility",
        [
            Node(
                train_each_arm,
                [
                    "evaluation.sets",
                    "images",
                    "params:classifier",
                    "params:utility",
                    "params:evaluation",
                    "utility.models",
                ],
                ["utility.found", "utility.differences"],
                name="train_each_arm",
            )
        ],
    ),
}
