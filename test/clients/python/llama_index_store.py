"""LlamaIndex's Chroma store in its everyday use."""

import chromadb
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import (
    ExactMatchFilter,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.chroma import ChromaVectorStore

from journal import endpoint, fake_embedding, step

client = chromadb.HttpClient(**endpoint())
collection = client.create_collection("llama", embedding_function=None)
store = ChromaVectorStore(chroma_collection=collection)
nodes = [
    TextNode(
        id_=f"node-{n}",
        text=f"text of node {n}",
        metadata={"n": n, "odd": "yes" if n % 2 else "no"},
        embedding=fake_embedding(f"text of node {n}"),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"source-{n // 10}")},
    )
    for n in range(30)
]


def found(result):
    return [(node.node_id, node.get_content(), node.metadata) for node in result.nodes], result.similarities, result.ids


def query(text, filters=None, mode=VectorStoreQueryMode.DEFAULT, **more):
    asked = VectorStoreQuery(
        query_embedding=fake_embedding(text), similarity_top_k=1, filters=filters, mode=mode
    )
    return found(store.query(asked, **more))


step("add", lambda: store.add(nodes))
step("count", collection.count)
step("query", lambda: query("text of node 7"))
step(
    "query with an exact filter",
    lambda: query("text of node 7", MetadataFilters(filters=[ExactMatchFilter(key="odd", value="no")])),
)
step(
    "query with several filters",
    lambda: query(
        "text of node 7",
        MetadataFilters(
            filters=[
                MetadataFilter(key="n", value=20, operator=FilterOperator.GT),
                MetadataFilter(key="odd", value=["yes"], operator=FilterOperator.IN),
            ],
            condition=FilterCondition.AND,
        ),
    ),
)
step("get nodes", lambda: sorted(node.node_id for node in store.get_nodes(node_ids=["node-1", "node-2"])))
step("delete by source", lambda: store.delete("source-0"))
step("count after it", collection.count)
step("delete nodes", lambda: store.delete_nodes(node_ids=["node-11", "node-12"]))
step("count after that", collection.count)
step("clear", store.clear)
step("count of nothing", collection.count)
step("drop", lambda: client.delete_collection("llama"))
