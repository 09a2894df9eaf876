"""LangChain's Chroma store in its everyday use."""

import chromadb
from langchain_chroma import Chroma
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from journal import endpoint, fake_embedding, step


class Fake(Embeddings):
    def embed_documents(self, texts):
        return [fake_embedding(text) for text in texts]

    def embed_query(self, text):
        return fake_embedding(text)


client = chromadb.HttpClient(**endpoint())
store = Chroma(collection_name="langchain", embedding_function=Fake(), client=client)
ids = [f"doc-{n}" for n in range(20)]
documents = [
    Document(page_content=f"document about subject {n}", metadata={"n": n, "even": n % 2 == 0}) for n in range(20)
]


def listed(found):
    return [(one.id, one.page_content, one.metadata) for one in found]


step("add documents", lambda: store.add_documents(documents, ids=ids))
step("add texts", lambda: store.add_texts(["a text"], metadatas=[{"n": 100}], ids=["text"]))
step("get", lambda: store.get(ids=["doc-3", "text"]))
step("get where", lambda: store.get(where={"n": {"$lt": 3}}))
step("get by ids", lambda: listed(store.get_by_ids(["doc-1", "doc-2"])))
step("similarity search", lambda: listed(store.similarity_search("document about subject 7", k=1)))
step("with filter", lambda: listed(store.similarity_search("document about subject 7", k=1, filter={"even": True})))
step("with score", lambda: [score for _, score in store.similarity_search_with_score("document about subject 7", k=5)])
step("with relevance", lambda: [score for _, score in store.similarity_search_with_relevance_scores("a text", k=1)])
step("by vector", lambda: listed(store.similarity_search_by_vector(fake_embedding("a text"), k=1)))
step("mmr", lambda: listed(store.max_marginal_relevance_search("a text", k=2, fetch_k=21)))
step("as retriever", lambda: listed(store.as_retriever(search_kwargs={"k": 1}).invoke("a text")))
step("update document", lambda: store.update_document("doc-5", Document(page_content="changed", metadata={"n": 5})))
step("after update", lambda: store.get(ids=["doc-5"]))
step("delete", lambda: store.delete(ids=["doc-5", "doc-6"]))
step("count", lambda: store._collection.count())
step(
    "from texts",
    lambda: listed(
        Chroma.from_texts(["x", "y"], Fake(), ids=["x", "y"], collection_name="langchain-two", client=client)
        .similarity_search("x", k=1)
    ),
)
step("reset collection", store.reset_collection)
step("count after it", lambda: store._collection.count())
step("delete collection", store.delete_collection)
step("use after it", lambda: store.similarity_search("x"))
step("drop", lambda: client.delete_collection("langchain-two"))
