"""Tenants, databases, collections and records, with base64 and without; numpy in and out; errors by class."""

import sys

import chromadb
import numpy
from chromadb.api.types import EmbeddingFunction

from journal import admin_client, endpoint, fake_embedding, shown, step

where = endpoint()
client = chromadb.HttpClient(**where)
admin = admin_client(where)
base64 = sys.argv[2] != "numbers"
TENANT = f"tenant-{sys.argv[2]}"
if not base64:
    client._server.supports_base64_encoding = lambda: False
ALL = ["documents", "embeddings", "metadatas", "uris"]


class Fake(EmbeddingFunction):
    def __init__(self):
        pass

    def __call__(self, input):
        return [numpy.array(fake_embedding(text), dtype=numpy.float32) for text in input]


def make(name, **options):
    return client.create_collection(name, embedding_function=None, **options)


def by_name(collections):
    return sorted((shown(one) for one in collections), key=lambda one: one["name"])


step("heartbeat", lambda: client.heartbeat() > 0)
step("version", client.get_version)
step("identity", client.get_user_identity)
step("largest batch", client.get_max_batch_size)
step("reset, which is disabled", client.reset)

step("create tenant", lambda: admin.create_tenant(TENANT))
step("create tenant again", lambda: admin.create_tenant(TENANT))
step("get tenant", lambda: admin.get_tenant(TENANT))
step("get tenant that is missing", lambda: admin.get_tenant("nobody"))
step("create database", lambda: admin.create_database("books", tenant=TENANT))
step("create database again", lambda: admin.create_database("books", tenant=TENANT))
step("get database", lambda: dict(admin.get_database("books", tenant=TENANT)))
step("get database that is missing", lambda: admin.get_database("none", tenant=TENANT))
step("list databases", lambda: [dict(one) for one in admin.list_databases(tenant=TENANT)])
other = chromadb.HttpClient(**where, tenant=TENANT, database="books")
step("collection elsewhere", lambda: shown(other.create_collection("there", embedding_function=None)))
step("is not here", lambda: client.get_collection("there"))
step("client of a database that is missing", lambda: chromadb.HttpClient(**where, tenant=TENANT, database="no"))
step("client of a tenant that is missing", lambda: chromadb.HttpClient(**where, tenant="no"))
step("delete database", lambda: admin.delete_database("books", tenant=TENANT))
step("delete database again", lambda: admin.delete_database("books", tenant=TENANT))

step("create", lambda: shown(make("things", metadata={"a": 1, "b": 1.5, "c": "x", "d": True})))
step("create again", lambda: make("things"))
step("create with a bad name", lambda: make("no"))
step(
    "create with a configuration",
    lambda: shown(make("tuned", configuration={"hnsw": {"space": "cosine", "ef_search": 30, "max_neighbors": 9}})),
)
step("get or create", lambda: shown(client.get_or_create_collection("things", embedding_function=None)))
step("get", lambda: shown(client.get_collection("tuned", embedding_function=None)))
step("get one that is missing", lambda: client.get_collection("none"))
step("list", lambda: by_name(client.list_collections()))
step("list a page", lambda: len(client.list_collections(limit=1, offset=1)))
step("count collections", client.count_collections)

things = client.get_collection("things", embedding_function=None)
vectors = numpy.array(
    [[1, 0, 0], [0.1, 0.2, -0.3], [1e-7, 16777217, 3.3333333], [0, 0, 1]], dtype=numpy.float32
)
step(
    "add of numpy",
    lambda: things.add(
        ids=["a", "b", "c", "d"],
        embeddings=vectors,
        documents=["red apple", "green pear", "red cherry", "größe 🍒"],
        metadatas=[{"kind": "fruit", "n": 1}, {"kind": "fruit", "n": 2.5}, {"kind": "berry", "n": 2**53 + 1}, None],
        uris=["s3://a", "s3://b", "s3://c", "s3://d"],
    ),
)
step("add of 64-bit numpy", lambda: things.add(ids=["e"], embeddings=numpy.array([[0.1, 0.7, 1e-3]])))
step("add of lists", lambda: things.add(ids=["f", "g"], embeddings=[[1, 2, 3], [4.5, -5.5, 6.25]]))
step("add of integers", lambda: things.add(ids=["h"], embeddings=numpy.array([[7, 8, 9]], dtype=numpy.int32)))
step("count", things.count)
step("get all", lambda: things.get(include=ALL))
step("embeddings are numpy", lambda: type(things.get(include=["embeddings"])["embeddings"]).__name__)
step("peek", lambda: things.peek(2))
step("get by ids", lambda: things.get(ids=["c", "none", "a"]))
step("get a page", lambda: things.get(limit=2, offset=3))
for filter in (
    {"kind": "fruit"},
    {"n": {"$gt": 1}},
    {"$and": [{"kind": {"$in": ["fruit", "berry"]}}, {"n": {"$lte": 2.5}}]},
    {"$or": [{"kind": {"$ne": "fruit"}}, {"n": 1}]},
    {"kind": {"$nin": ["berry"]}},
    {"n": {"$eq": 2**53 + 1}},
):
    step(f"get where {filter}", lambda: things.get(where=filter))
for filter in ({"$contains": "red"}, {"$not_contains": "red"}, {"$regex": "^gr.en"}, {"$contains": "🍒"}):
    step(f"get where document {filter}", lambda: things.get(where_document=filter))
step("a filter that is none", lambda: things.get(where={"n": {"$almost": 1}}))
step("query", lambda: things.query(query_embeddings=vectors[:2], n_results=3, include=[*ALL, "distances"]))
step(
    "query with filters",
    lambda: things.query(query_embeddings=[[1, 0, 0]], where={"kind": "fruit"}, where_document={"$contains": "e"}),
)
step("query among ids", lambda: things.query(query_embeddings=[[1, 0, 0]], ids=["b", "d"]))
step("query of another dimension", lambda: things.query(query_embeddings=[[1, 0]]))
step("add of another dimension", lambda: things.add(ids=["x"], embeddings=[[1, 0]]))
step("add of one id twice", lambda: things.add(ids=["x", "x"], embeddings=[[1, 0, 0], [1, 0, 0]]))
step("add of too few", lambda: things.add(ids=["x", "y"], embeddings=[[1, 0, 0]]))
step("update", lambda: things.update(ids=["a", "none"], documents=["yellow apple", "-"], metadatas=[{"n": 9}, {"n": 0}]))
step("update removes a key", lambda: things.update(ids=["a"], metadatas=[{"kind": None, "new": True}]))
step("update of an embedding", lambda: things.update(ids=["b"], embeddings=numpy.array([[5, 5, 5.5]])))
step("upsert", lambda: things.upsert(ids=["b", "i"], embeddings=[[2, 2, 2], [3, 3, 3]], documents=["blue pear", "fig"]))
step("after both", lambda: things.get(include=ALL))
step("lists in metadata", lambda: things.upsert(ids=["j"], embeddings=[[1, 1, 1]], metadatas=[{"tags": ["x", "y"]}]))
step("and read back", lambda: things.get(ids=["j"]))
step("delete by ids", lambda: things.delete(ids=["d", "none"]))
step("delete where", lambda: things.delete(where={"kind": "berry"}))
step("delete where document", lambda: things.delete(where_document={"$contains": "fig"}))
step("delete nothing in particular", lambda: things.delete())
step("what is left", lambda: things.get(include=ALL))
step("modify", lambda: things.modify(name="renamed", metadata={"only": "this"}))
step("modified", lambda: shown(client.get_collection("renamed", embedding_function=None)))
step("fork", lambda: things.fork("forked"))

texts = client.create_collection("texts", embedding_function=Fake())
step("add of texts", lambda: texts.add(ids=["1", "2"], documents=["one", "two"]))
step("query of a text", lambda: texts.query(query_texts=["two"], n_results=1, include=["documents", "distances"]))
step("default embedding function by name", lambda: client.create_collection("defaults").name)
# 1.5.9 keeps the lists of a dropped collection and gives them to records stored later (docs/compatibility.md).
step("delete the record with a list", lambda: things.delete(ids=["j"]))
for name in ("renamed", "tuned", "texts", "defaults"):
    step(f"delete {name}", lambda: client.delete_collection(name))
step("delete again", lambda: client.delete_collection("renamed"))
step("write to what is gone", lambda: things.add(ids=["a"], embeddings=[[1, 2, 3]]))
