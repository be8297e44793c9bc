"""Longhorn v1 as a sink of images."""

from tests.servers.longhorn.cluster import Longhorn
from tests.servers.longhorn.data_source import DISK, DataSource, PodGone
from tests.servers.longhorn.manager import LonghornManager

__all__ = ["DISK", "DataSource", "Longhorn", "LonghornManager", "PodGone"]
