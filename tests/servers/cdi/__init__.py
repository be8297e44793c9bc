"""CDI as a sink of images."""

from tests.servers.cdi.cluster import Cdi
from tests.servers.cdi.upload_proxy import UploadProxy
from tests.servers.cdi.upload_server import UploadServer

__all__ = ["Cdi", "UploadProxy", "UploadServer"]
