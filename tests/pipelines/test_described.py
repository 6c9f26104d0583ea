from kedro.pipeline import Node, Pipeline
from kedro.pipeline.preview_contract import MermaidPreview

from cxr_pipeline.pipeline_registry import register_pipelines
from cxr_pipeline.pipelines.described import described
from cxr_pipeline.pipelines.training.diagrams import NETWORKS


def halve(number):
    """Halve a number.

    Of an odd one
    the half is a fraction.

    Args:
        number: Any.
    """
    return number / 2


def test_a_node_shows_its_function_s_docstring_up_to_the_arguments():
    pipeline = described(Pipeline([Node(halve, "a", "b", name="halve")]), {})
    shown = pipeline.nodes[0].preview().content
    assert shown == "Halve a number.\n\nOf an odd one the half is a fraction."


def test_a_node_that_has_more_to_show_shows_that():
    diagram = MermaidPreview("flowchart LR")
    pipeline = described(
        Pipeline([Node(halve, "a", "b", name="halve")]), {"halve": lambda: diagram}
    )
    assert pipeline.nodes[0].preview() is diagram


def test_nodes_do_what_they_did():
    node = Node(halve, "a", "b", name="halve", namespace="some")
    assert described(Pipeline([node]), {}).nodes == [node]


def test_every_node_has_a_description_or_a_diagram():
    nodes = {
        node.name: node for pipeline in register_pipelines().values() for node in pipeline.nodes
    }
    assert NETWORKS.keys() <= nodes.keys()
    for name in nodes.keys() - NETWORKS.keys():
        assert nodes[name].preview().content.strip(), name
