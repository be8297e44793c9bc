"""Buckets as S3 has them: moto's server, run as a process of its own."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import boto3


@dataclass
class Moto:
    """A server that runs, and a client that may do everything there."""

    endpoint: str
    client: Any

    async def put(self, bucket: str, key: str, body: bytes) -> str | None:
        """Store *body*; return its version's ID, where the bucket has versions."""
        answer = await asyncio.to_thread(self.client.put_object, Bucket=bucket, Key=key, Body=body)
        version: str | None = answer.get("VersionId")
        return version


@asynccontextmanager
async def moto_server() -> AsyncIterator[Moto]:
    """Run the server until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr
    try:
        while not (found := re.search(rb"http://[0-9.:]+", await process.stderr.readline())):
            assert process.returncode is None
        reading = asyncio.create_task(process.stderr.read())  # or a full pipe would stop it
        endpoint = found[0].decode()
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="all",
            aws_secret_access_key="all",
        )
        yield Moto(endpoint, client)
        client.close()
    finally:
        process.terminate()
        await process.wait()
        await reading
