"""More records than a server takes at once, cut by the client's own helper; embeddings of a common size."""

import chromadb
import numpy
from chromadb.utils.batch_utils import create_batches

from journal import endpoint, step

client = chromadb.HttpClient(**endpoint())
collection = client.create_collection("batches", embedding_function=None)
count, dimension = 12_000, 32
vectors = numpy.random.default_rng(7).standard_normal((count, dimension), dtype=numpy.float32)
ids = [f"id-{n}" for n in range(count)]
batches = create_batches(
    client,
    ids=ids,
    embeddings=list(vectors),
    metadatas=[{"n": n} for n in range(count)],
    documents=[f"document {n}" for n in range(count)],
)
step("batches", lambda: [len(batch[0]) for batch in batches])
for ids_, embeddings, metadatas, documents in batches:
    step("add", lambda: collection.add(ids=ids_, embeddings=embeddings, metadatas=metadatas, documents=documents))
step("more than one batch", lambda: collection.add(ids=ids, embeddings=list(vectors)))
step("count", collection.count)


def read_back():
    found = collection.get(include=["embeddings"], limit=count)
    order = {id: index for index, id in enumerate(found["ids"])}
    return all(numpy.array_equal(found["embeddings"][order[id]], vectors[n]) for n, id in enumerate(ids))


step("every vector read back to the bit", read_back)
step("page", lambda: collection.get(limit=3, offset=11_990))
step("nearest to itself", lambda: collection.query(query_embeddings=vectors[4_321:4_322], n_results=1))
step("delete where", lambda: collection.delete(where={"n": {"$gte": 100}}))
step("count of the rest", collection.count)
step("drop", lambda: client.delete_collection("batches"))
