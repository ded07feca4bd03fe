// How one product's chains are cut into kernel calls: pieces that lie together in both operands, and chunks
// of pieces whose panel stays in the second-level cache while the rows pass. No bit depends on either: a
// piece loads what the one before left.
#pragma once

#include <cstdint>
#include <vector>

#include "device/cpu/matmul/chain_order.h"

namespace megalith::cpu {

// Consecutive words of one leaf.
struct ChainPiece {
  int leaf = 0;
  bool first = false, last = false;  // of its leaf
  std::int64_t a_word = 0;           // where it begins in a row of the left operand
  std::int64_t panel_word = 0;       // and in the panel, which is always in chain order
  std::int64_t words = 0;
};

// Pieces [begin, end), which are the panel's words [first_word, last_word).
struct PieceChunk {
  std::size_t begin = 0, end = 0;
  std::int64_t first_word = 0, last_word = 0;
};

class ProductPlan {
 public:
  // in_place: the left operand is read where it lies, in the order of the unpacked dimension; else in chain
  // order. `terms`: in a word. REQUIRES: in_place only where can_read_in_place().
  void set(const ChainOrder& order, std::int64_t terms, bool in_place);
  // Every part begins and ends between words, so that words need not be put together.
  [[nodiscard]] static bool can_read_in_place(const ChainOrder& order, std::int64_t terms);

  [[nodiscard]] const std::vector<ChainPiece>& pieces() const { return pieces_; }
  [[nodiscard]] const std::vector<PieceChunk>& chunks() const { return chunks_; }
  [[nodiscard]] std::int64_t longest_chunk() const;  // words

 private:
  void add(int leaf, std::int64_t a_word, std::int64_t panel_word, std::int64_t words);
  std::vector<ChainPiece> pieces_;
  std::vector<PieceChunk> chunks_;
};

}  // namespace megalith::cpu
