#include "device/cpu/attention/attention_pieces.h"

#include <algorithm>

namespace megalith::cpu {
namespace {

// Fewer rows pack each key block too often, more spill the state of the rows from the cache.
constexpr std::int64_t kLeastChunk = 64;
constexpr std::int64_t kMostChunk = 512;
constexpr std::int64_t kTasksPerThread = 4;

std::int64_t positions_of(const std::vector<Document>& documents) {
  std::int64_t sum = 0;
  for (const Document& d : documents) sum += d.end - d.start;
  return sum;
}

// Positions per chunk so that there are several tasks per thread, a multiple of `unit`.
std::int64_t chunk_of(const std::vector<Document>& documents, int kv_heads, int num_threads,
                      std::int64_t unit) {
  const std::int64_t wanted = positions_of(documents) * kv_heads / (kTasksPerThread * num_threads);
  const std::int64_t chunk = std::clamp(wanted, kLeastChunk, kMostChunk);
  return std::max(unit, chunk / unit * unit);
}

Piece whole(const Document& d) {
  return {.sequence = d.sequence,
          .document = d.start,
          .length = d.end - d.start,
          .first = 0,
          .count = d.end - d.start,
          .first_block = 0,
          .last_block = 0,
          .row = 0};
}

}  // namespace

void list_documents(const AttentionShape& shape, const std::int32_t* document_start,
                    std::vector<Document>& documents) {
  documents.clear();
  for (std::int64_t b = 0; b < shape.sequences; ++b) {
    const std::int32_t* starts = document_start == nullptr ? nullptr : document_start + b * shape.sequence;
    for (std::int64_t t = 0; t < shape.sequence; ++t) {
      const std::int64_t start = starts == nullptr ? 0 : starts[t];
      if (start == t) {
        documents.push_back({b, t, t + 1});
      } else {
        MEGALITH_CHECK(t > 0 && documents.back().start == start,
                       "token {} of sequence {} is in a document from {}", t, b, start);
        documents.back().end = t + 1;
      }
    }
  }
}

void whole_documents(const std::vector<Document>& documents, int key_block, std::vector<Piece>& pieces) {
  pieces.clear();
  for (const Document& d : documents) {
    pieces.push_back(whole(d));
    pieces.back().last_block = (d.end - d.start + key_block - 1) / key_block;
  }
}

void cut_queries(const std::vector<Document>& documents, int kv_heads, int num_threads,
                 std::vector<Piece>& pieces) {
  pieces.clear();
  const std::int64_t chunk = chunk_of(documents, kv_heads, num_threads, 2);
  for (const Document& d : documents) {
    const std::int64_t length = d.end - d.start;
    // Late queries see the most keys: they start first, so that no thread ends with a long piece.
    for (std::int64_t first = (length - 1) / chunk * chunk; first >= 0; first -= chunk) {
      Piece piece = whole(d);
      piece.first = first;
      piece.count = std::min(chunk, length - first);
      pieces.push_back(piece);
    }
  }
}

void cut_keys(const std::vector<Document>& documents, const AttentionGeometry& geometry, int kv_heads,
              int num_threads, std::vector<Piece>& pieces) {
  pieces.clear();
  const std::int64_t key_block = geometry.key_block;
  const std::int64_t chunk = chunk_of(documents, kv_heads, num_threads, key_block) / key_block;  // blocks
  for (const Document& d : documents) {
    const std::int64_t blocks = (d.end - d.start + key_block - 1) / key_block;
    for (std::int64_t block = 0; block < blocks; block += chunk) {  // early keys are seen by the most queries
      Piece piece = whole(d);
      piece.first_block = block;
      piece.last_block = std::min(blocks, block + chunk);
      piece.first = block * key_block;
      piece.count =
          std::min(piece.length, geometry.past_block((piece.last_block - 1) * key_block)) - piece.first;
      pieces.push_back(piece);
    }
  }
}

void list_runs(const CachedAttention& args, std::int64_t slots, std::int64_t capacity,
               std::vector<Piece>& pieces) {
  pieces.clear();
  for (std::int64_t r = 0; r < args.rows; ++r) {
    const std::int64_t slot = args.slot[r];
    const std::int64_t position = args.position[r];
    MEGALITH_CHECK(slot >= 0 && slot < slots && position >= 0 && position < capacity,
                   "row {}: slot {}, position {}", r, slot, position);
    if (!pieces.empty()) {
      Piece& run = pieces.back();
      if (run.sequence == slot && run.first + run.count == position && run.count < kMostChunk) {
        ++run.count;
        continue;
      }
    }
    pieces.push_back({.sequence = slot,
                      .document = 0,
                      .length = position + 1,
                      .first = position,
                      .count = 1,
                      .first_block = 0,
                      .last_block = 0,
                      .row = r});
  }
}

std::int64_t longest(const std::vector<Piece>& pieces) {
  std::int64_t result = 0;
  for (const Piece& piece : pieces) result = std::max(result, piece.count);
  return result;
}

}  // namespace megalith::cpu
