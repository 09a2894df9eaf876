"""The asynchronous client, many calls at once."""

import asyncio

import chromadb

from journal import async_step, endpoint, shown


async def main():
    client = await chromadb.AsyncHttpClient(**endpoint())

    async def create():
        return shown(await client.create_collection("async", embedding_function=None, metadata={"a": 1}))

    async def many():
        adds = [collection.upsert(ids=[f"{n}"], embeddings=[[n, 1.0]], metadatas=[{"n": n}]) for n in range(40)]
        await asyncio.gather(*adds)
        return await collection.count()

    async def queries():
        asked = [collection.query(query_embeddings=[[n, 1.0]], n_results=1) for n in range(20)]
        return [(answer["ids"], answer["distances"]) for answer in await asyncio.gather(*asked)]

    async def everything():
        found = await collection.get(include=["embeddings", "metadatas"])
        rows = zip(found["ids"], found["embeddings"].tolist(), found["metadatas"])
        return sorted(rows, key=lambda row: int(row[0]))

    await async_step("heartbeat", lambda: is_number(client.heartbeat()))
    await async_step("create", create)
    await async_step("create again", lambda: client.create_collection("async"))
    collection = await client.get_collection("async", embedding_function=None)
    await async_step("many writes at once", many)
    await async_step("many queries at once", queries)
    await async_step("get all", everything)
    await async_step("update", lambda: collection.update(ids=["3"], metadatas=[{"n": -3}]))
    await async_step("get where", lambda: collection.get(where={"n": {"$lt": 0}}))
    await async_step("another dimension", lambda: collection.add(ids=["x"], embeddings=[[1.0]]))
    await async_step("delete", lambda: collection.delete(ids=["3", "4"]))
    await async_step("count", collection.count)
    await async_step("list", lambda: names(client.list_collections()))
    await async_step("missing", lambda: client.get_collection("none"))
    await async_step("drop", lambda: client.delete_collection("async"))
    await async_step("drop again", lambda: client.delete_collection("async"))


async def is_number(answer):
    return isinstance(await answer, int)


async def names(answer):
    return sorted(one.name for one in await answer)


asyncio.run(main())
