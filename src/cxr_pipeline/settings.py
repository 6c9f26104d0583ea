"""Kedro's settings (https://docs.kedro.org/en/stable/configure/configuration_basics/)."""

from pathlib import Path

from omegaconf.resolvers import oc

from cxr_pipeline import tracking
from cxr_pipeline.hooks import PreflightHooks, ProjectHooks
from cxr_pipeline.tracking.hook import TrackingHook
from cxr_pipeline.tracking.recording import RecordingHooks
from cxr_pipeline.turns import TurnHooks

PROJECT = Path(__file__).resolve().parents[2]

# The last of these goes first, but for hooks marked `tryfirst` and `trylast`.
HOOKS = (TurnHooks(), PreflightHooks(), ProjectHooks(), RecordingHooks(), TrackingHook())

# In its place stands `TrackingHook`. Its releases have spelt the name in both ways.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro-mlflow", "kedro_mlflow")

# Runs are recorded in MLflow; Kedro's own session files would only pile up.
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**"]},
    # An environment changes single parameters; it does not replace whole sections.
    "merge_strategy": {"parameters": "soft", "mlflow": "soft"},
    "custom_resolvers": {
        "environment": oc.env,
        "project": lambda path: str(PROJECT / path),
        "tracking_uri": lambda: tracking.tracking_uri(PROJECT),
        "artifact_location": lambda: tracking.artifact_location(PROJECT),
    },
}
