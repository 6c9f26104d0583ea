"""Labels: label files -> checked rows -> typed table with splits -> class counts."""

from kedro.pipeline import Node, Pipeline

from cxr_pipeline.data.class_counts import count_classes
from cxr_pipeline.evaluation.charts import class_count_chart
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
            Node(class_count_chart, "class_counts", "class_counts_chart", name="draw_class_counts"),
        ]
    )
