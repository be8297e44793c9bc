"""What schemathesis has to be told: a part of a resumable upload is bytes like any other."""

import schemathesis

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
