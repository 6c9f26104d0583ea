"""The node that downloads the data."""

import os
from pathlib import Path

import pandas as pd

from cxr_pipeline.data.acquire import RemoteFile, acquire
from cxr_pipeline.data.files import make_folder
from cxr_pipeline.data.locks import lock
from cxr_pipeline.parameters.data import DownloadParameters, RemoteFileParameters


def download_data(parameters: DownloadParameters) -> pd.DataFrame:
    """Fetch and unpack what is not there yet; returns what is, a file a row."""
    folder = Path(os.path.expanduser(parameters.folder))
    make_folder(folder)
    with lock(folder, f"the download to '{folder}'", wait=False):
        return acquire(
            _remote_file(parameters.label_file),
            [_remote_file(archive) for archive in parameters.archives],
            folder,
            attempts=parameters.attempts,
            timeout=parameters.timeout,
            keep_archives=parameters.keep_archives,
            max_unpacked_bytes=int(parameters.max_unpacked_gb * 1e9),
        )


def _remote_file(parameters: RemoteFileParameters) -> RemoteFile:
    return RemoteFile(**parameters.model_dump())
