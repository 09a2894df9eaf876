"""The clients before 1.0, on servers of the v1 API or its translation: what a program of their time does."""

import chromadb
from chromadb.api.types import EmbeddingFunction

from journal import admin_client, endpoint, fake_embedding, step

where = endpoint()
client = chromadb.HttpClient(**where)
admin = admin_client(where)
VERSION = tuple(int(part) for part in chromadb.__version__.split("."))
TENANT = "tenant-" + chromadb.__version__
ALL = ["documents", "embeddings", "metadatas"]


class Fake(EmbeddingFunction):
    def __init__(self):
        pass

    def __call__(self, input):
        return [fake_embedding(text) for text in input]


def named(collection):
    return {"id": str(collection.id), "name": collection.name, "metadata": collection.metadata}


def listed():
    """Names: before 0.6 a list holds collections."""
    return sorted(str(one) if VERSION >= (0, 6) else one.name for one in client.list_collections())


step("heartbeat", lambda: client.heartbeat() > 0)
step("version is text", lambda: type(client.get_version()).__name__)
step("reset, which is disabled", client.reset)
step("create tenant", lambda: admin.create_tenant(TENANT))
step("create tenant again", lambda: admin.create_tenant(TENANT))
step("get tenant", lambda: admin.get_tenant(TENANT))
step("get tenant that is missing", lambda: admin.get_tenant("nobody"))
step("create database", lambda: admin.create_database("books", tenant=TENANT))
step("get database", lambda: admin.get_database("books", tenant=TENANT)["name"])
step("get database that is missing", lambda: admin.get_database("none", tenant=TENANT))
other = chromadb.HttpClient(**where, tenant=TENANT, database="books")
step("collection elsewhere", lambda: named(other.create_collection("there", embedding_function=None)))
elsewhere = other.get_collection("there", embedding_function=Fake())
step("write elsewhere", lambda: elsewhere.add(ids=["1"], documents=["one"]))
step("count elsewhere", elsewhere.count)
step("is not here", lambda: client.get_collection("there", embedding_function=None))
step("client of a tenant that is missing", lambda: chromadb.HttpClient(**where, tenant="no"))

step("create", lambda: named(client.create_collection("things", embedding_function=Fake(), metadata={"a": 1, "b": 1.5})))
step("create again", lambda: client.create_collection("things", embedding_function=Fake()))
step("create of cosine", lambda: named(client.create_collection("tuned", embedding_function=None, metadata={"hnsw:space": "cosine"})))
step("get or create", lambda: named(client.get_or_create_collection("things", embedding_function=Fake())))
step("get", lambda: named(client.get_collection("tuned", embedding_function=None)))
step("get one that is missing", lambda: client.get_collection("none", embedding_function=None))
step("list", listed)
step("list a page", lambda: len(client.list_collections(limit=1, offset=1)))
step("count collections", client.count_collections)

things = client.get_collection("things", embedding_function=Fake())
step(
    "add",
    lambda: things.add(
        ids=["a", "b", "c", "d"],
        documents=["red apple", "green pear", "red cherry", "größe 🍒"],
        metadatas=[{"kind": "fruit", "n": 1}, {"kind": "fruit", "n": 2.5}, {"kind": "berry", "n": 2**53 + 1}, {"n": 0}],
    ),
)
step("add of vectors", lambda: things.add(ids=["e", "f"], embeddings=[[0.5] * 8, [1.0] * 8]))
step("add of an id in use", lambda: things.add(ids=["a"], embeddings=[[9.0] * 8]))
step("count", things.count)
step("get all", lambda: things.get(include=ALL)["ids"])
step("get with documents and metadatas", lambda: {key: things.get(ids=["a", "c"])[key] for key in ("ids", "documents", "metadatas")})
step("embeddings are exact", lambda: [[float(x) for x in row] for row in things.get(ids=["e"], include=["embeddings"])["embeddings"]])
step("peek", lambda: things.peek(2)["ids"])
step("get a page", lambda: things.get(limit=2, offset=3)["ids"])
if VERSION < (0, 5, 16):
    step("get with an empty filter", lambda: things.get(where={}, where_document={})["ids"])
step("get where", lambda: things.get(where={"$and": [{"kind": "fruit"}, {"n": {"$lt": 2}}]})["ids"])
step("get where document", lambda: things.get(where_document={"$contains": "red"})["ids"])
step("query of a text", lambda: things.query(query_texts=["red apple"], n_results=2)["ids"])
step("query with filters", lambda: things.query(query_texts=["x"], n_results=5, where={"kind": "fruit"}, where_document={"$contains": "e"})["ids"])
step("distance of the same text", lambda: things.query(query_texts=["red apple"], n_results=1)["distances"][0][0] < 1e-6)
step("query of another dimension", lambda: things.query(query_embeddings=[[1.0, 2.0]]))
step("add of another dimension", lambda: things.add(ids=["x"], embeddings=[[1.0, 2.0]]))
step("add of one id twice", lambda: things.add(ids=["x", "x"], embeddings=[[1.0] * 8] * 2))
step("update", lambda: things.update(ids=["a"], documents=["yellow apple"], metadatas=[{"n": 9}]))
step("upsert", lambda: things.upsert(ids=["b", "g"], documents=["blue pear", "fig"]))
step("after both", lambda: {key: things.get(ids=["a", "b", "g"])[key] for key in ("documents", "metadatas")})
step("delete one of three chunks", lambda: things.delete(ids=["b"]))
step("two are left", lambda: things.get(ids=["a", "b", "c"])["ids"])
step("delete where", lambda: things.delete(where={"kind": "berry"}))
step("delete where document", lambda: things.delete(where_document={"$contains": "fig"}))
step("delete nothing in particular", lambda: things.delete())
step("what is left", lambda: things.get()["ids"])
step("modify", lambda: things.modify(name="renamed", metadata={"only": "this"}))
step("modified", lambda: named(client.get_collection("renamed", embedding_function=None)))
if VERSION >= (0, 5, 4):

    def index_of(collection):
        index = collection.get_model().get_configuration().get_parameter("hnsw_configuration").value
        return {name: index.get_parameter(name).value for name in ("ef_construction", "M", "resize_factor")}

    step("configuration", lambda: index_of(client.get_collection("tuned", embedding_function=None)))
for name in ("renamed", "tuned"):
    step(f"delete {name}", lambda: client.delete_collection(name))
step("delete again", lambda: client.delete_collection("renamed"))
step("write to what is gone", lambda: things.add(ids=["a"], embeddings=[[1.0] * 8]))
