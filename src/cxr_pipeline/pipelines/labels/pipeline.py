"""Labels: label files -> checked rows -> typed table with splits -> counts of classes."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.data.class_counts import (
    count_classes,
    count_classes_by_split_and_view,
    count_cooccurrence,
)
from cxr_pipeline.evaluation.label_charts import class_count_chart, cooccurrence_chart
from cxr_pipeline.pipelines.labels.nodes import ingest_labels, read_rows


def create_pipeline() -> Pipeline:
    """Chain the label nodes."""
    return Pipeline(
        [
            Node(read_rows, ["params:raw_dir", "params:labels"], "label_rows", name="read_labels"),
            Node(
                ingest_labels,
                ["label_rows", "params:raw_dir", "params:labels"],
                "labels",
                name="ingest_labels",
            ),
            Node(count_classes, "labels", "class_counts", name="count_classes"),
            Node(
                count_classes_by_split_and_view,
                "labels",
                "class_counts_by_split_and_view",
                name="count_classes_by_split_and_view",
            ),
            Node(
                class_count_chart,
                ["class_counts", "class_counts_by_split_and_view"],
                "class_counts_chart",
                name="draw_class_counts",
            ),
            Node(count_cooccurrence, "labels", "cooccurrence", name="count_cooccurrence"),
            Node(
                cooccurrence_chart, "cooccurrence", "cooccurrence_chart", name="draw_cooccurrence"
            ),
        ],
        namespace="labels",
        prefix_datasets_with_namespace=False,
    )
