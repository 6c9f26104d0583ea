from tests.golden.networks import PAGE, with_diagrams
from tests.parameters.configuration import changed

from cxr_pipeline.pipelines.training.diagrams import network_diagram


def test_the_documentation_shows_the_networks_as_they_are():
    page = PAGE.read_text()
    assert page.count("```mermaid") == 3
    assert with_diagrams(page) == page, "python -m tests.golden.networks --write"


def test_the_diagram_follows_the_parameters():
    assert "noise z<br>50" in network_diagram("gan", changed("gan.dim_z", 50)["gan"])
    assert "findings" in network_diagram("gan", changed("gan.conditional", True)["gan"])
    version = changed("gmvae.version", "v6")["gmvae"]
    assert "DenseNet121" in network_diagram("gmvae", version)
