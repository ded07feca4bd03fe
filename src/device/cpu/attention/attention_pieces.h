// How attention is cut for threads. No bit depends on it.
#pragma once

#include <cstdint>
#include <vector>

#include "device/attention.h"
#include "device/cpu/attention/attention_kernels.h"

namespace megalith::cpu {

struct Document {
  std::int64_t sequence;
  std::int64_t start, end;  // positions in the sequence
};

// Work on one document (in `cached`, one slot), to be done for every key/value head.
struct Piece {
  std::int64_t sequence;                 // or cache slot
  std::int64_t document;                 // position of the document's first token in the sequence
  std::int64_t length;                   // of the document
  std::int64_t first, count;             // queries, from the document's first token
  std::int64_t first_block, last_block;  // key blocks, in backward
  std::int64_t row;                      // of query `first`, in `cached`
};

// All documents of the batch, in order. document_start null: each sequence is one document.
void list_documents(const AttentionShape& shape, const std::int32_t* document_start,
                    std::vector<Document>& documents);

void whole_documents(const std::vector<Document>& documents, int key_block, std::vector<Piece>& pieces);
// Chunks of queries, fit to give every thread several.
void cut_queries(const std::vector<Document>& documents, int kv_heads, int num_threads,
                 std::vector<Piece>& pieces);
// Chunks of key blocks with all queries that see them.
void cut_keys(const std::vector<Document>& documents, const AttentionGeometry& geometry, int kv_heads,
              int num_threads, std::vector<Piece>& pieces);
// Runs of rows with consecutive positions in one slot, each a piece.
void list_runs(const CachedAttention& args, std::int64_t slots, std::int64_t capacity,
               std::vector<Piece>& pieces);

std::int64_t longest(const std::vector<Piece>& pieces);  // in queries

}  // namespace megalith::cpu
