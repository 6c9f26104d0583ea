import subprocess
import sys

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


def test_pipelines_are_there_before_torch_and_kedro_viz():
    # Each takes seconds to import; only who asks for a diagram waits for them.
    code = (
        "import sys; from cxr_pipeline.pipeline_registry import register_pipelines; "
        "register_pipelines(); sys.exit(len({'torch', 'kedro_viz'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
