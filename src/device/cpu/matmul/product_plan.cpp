#include "device/cpu/matmul/product_plan.h"

#include <algorithm>

namespace megalith::cpu {
namespace {

constexpr std::int64_t kChunkWords = 768;  // of a panel: 192 KiB with 64 columns

}  // namespace

bool ProductPlan::can_read_in_place(const ChainOrder& order, std::int64_t terms) {
  return std::all_of(order.parts().begin(), order.parts().end(), [terms](const ChainPart& part) {
    return part.source % terms == 0 && part.count % terms == 0 && part.packed % terms == 0;
  });
}

void ProductPlan::set(const ChainOrder& order, std::int64_t terms, bool in_place) {
  pieces_.clear();
  chunks_.clear();
  const std::int64_t leaf_words = order.leaf_length() / terms;
  if (in_place) {
    for (const ChainPart& part : order.parts()) {
      const auto leaf = static_cast<int>(part.packed / order.leaf_length());
      add(leaf, part.source / terms, part.packed / terms, part.count / terms);
    }
  } else {
    for (int leaf = 0; leaf < order.leaves(); ++leaf) {
      add(leaf, leaf * leaf_words, leaf * leaf_words, leaf_words);
    }
  }
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    pieces_[i].first = i == 0 || pieces_[i - 1].leaf != pieces_[i].leaf;
    pieces_[i].last = i + 1 == pieces_.size() || pieces_[i + 1].leaf != pieces_[i].leaf;
  }
}

// Appends words to the current chunk, cut where a chunk is full, joined to the piece they continue.
void ProductPlan::add(int leaf, std::int64_t a_word, std::int64_t panel_word, std::int64_t words) {
  while (words > 0) {
    if (chunks_.empty() || chunks_.back().last_word - chunks_.back().first_word == kChunkWords) {
      chunks_.push_back({.begin = pieces_.size(),
                         .end = pieces_.size(),
                         .first_word = panel_word,
                         .last_word = panel_word});
    }
    PieceChunk& chunk = chunks_.back();
    const std::int64_t fits = std::min(words, kChunkWords - (chunk.last_word - chunk.first_word));
    if (chunk.begin < pieces_.size() && pieces_.back().leaf == leaf &&
        pieces_.back().a_word + pieces_.back().words == a_word) {
      pieces_.back().words += fits;
    } else {
      pieces_.push_back({.leaf = leaf, .a_word = a_word, .panel_word = panel_word, .words = fits});
    }
    chunk.end = pieces_.size();
    chunk.last_word += fits;
    a_word += fits;
    panel_word += fits;
    words -= fits;
  }
}

std::int64_t ProductPlan::longest_chunk() const {
  std::int64_t longest = 0;
  for (const PieceChunk& chunk : chunks_) longest = std::max(longest, chunk.last_word - chunk.first_word);
  return longest;
}

}  // namespace megalith::cpu
