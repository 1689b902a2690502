"""A program of somebody who uses the asynchronous client of Microsoft's SDK: `asynchronous.py <address> <token>`."""

from __future__ import annotations

import asyncio
import sys
import time
from uuid import uuid4

from azure.core.credentials import AccessToken
from PowerPlatform.Dataverse.aio import AsyncDataverseClient
from PowerPlatform.Dataverse.models import col


class Credential:
    def __init__(self, token: str) -> None:
        self.token = token

    async def get_token(self, *scopes: str, **options: object) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)

    async def close(self) -> None:
        return None

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None


async def main(address: str, token: str) -> None:
    async with AsyncDataverseClient(address, Credential(token)) as client:
        names = [f"async {n} {uuid4().hex}" for n in range(5)]
        ids = await asyncio.gather(*(client.records.create("account", {"name": name}) for name in names))
        found = await client.query.builder("account").select("name").where(col("name").in_(names)).execute()
        assert sorted(row["name"] for row in found) == sorted(names)
        await client.records.update("account", list(ids), {"telephone1": "7"})
        assert (await client.records.retrieve("account", ids[0], select=["telephone1"]))["telephone1"] == "7"
        pages = [
            page
            async for page in client.query.builder("account").where(col("name").in_(names)).page_size(2).execute_pages()
        ]
        assert [len(page) for page in pages] == [2, 2, 1]
        batch = client.batch.new()
        for one in ids[:2]:
            batch.records.delete("account", one)
        assert not (await batch.execute()).has_errors
        await client.records.delete("account", list(ids[2:]), use_bulk_delete=False)
        condition = "<condition attribute='name' operator='like' value='async%'/>"
        text = f"<fetch><entity name='account'><filter>{condition}</filter></entity></fetch>"
        assert list(await client.query.fetchxml(text).execute()) == []
        assert (await client.tables.get("account"))["entity_set_name"] == "accounts"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
    print("done")
