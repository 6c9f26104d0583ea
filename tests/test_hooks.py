import subprocess
from pathlib import Path

from cxr_pipeline.hooks import git_commit, run_command, run_name

RUN = {
    "pipeline_names": ["gan"],
    "env": "cxr14",
    "from_nodes": ["gan.train"],
    "runtime_params": {"raw_dir": "/data/nih1000", "gan": {"epochs": 40, "seed": 1}},
}


def test_the_command_can_be_typed_again():
    assert run_command(RUN) == (
        "kedro run --pipelines=gan --env=cxr14 --from-nodes=gan.train "
        "--params=raw_dir=/data/nih1000,gan.epochs=40,gan.seed=1"
    )
    assert run_command({"pipeline_names": None, "runtime_params": None}) == "kedro run"


def test_what_the_shell_would_take_apart_is_quoted():
    spaced = {"runtime_params": {"raw_dir": "/data/My Folder"}, "load_versions": {"images": "a1"}}
    assert run_command(spaced) == (
        "kedro run --load-versions=images:a1 '--params=raw_dir=/data/My Folder'"
    )


def test_a_run_s_name_says_pipeline_data_and_what_was_set():
    name = run_name(RUN, "/data/nih1000")
    assert name.startswith("gan epochs=40 seed=1 nih1000 ")
    assert run_name({"pipeline_names": None}, "data/01_raw/sample").startswith("everything sample ")


def test_the_commit_says_when_files_differ_from_it(tmp_path: Path):
    assert git_commit(tmp_path) == "unknown"

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    git("init", "--quiet")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "--quiet", "--message=first")
    commit = git_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path) == f"{commit}+changes"
