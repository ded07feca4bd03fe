// The order in which a product's summed dimension is taken: leaves of fused members, pairs swapped, odd ends
// padded.
#pragma once

#include <cstdint>
#include <vector>

#include "device/matmul.h"

namespace megalith::cpu {

// Consecutive source elements that stand together in a leaf.
struct ChainPart {
  std::int64_t source = 0;  // first element of the unpacked dimension
  std::int64_t count = 0;
  std::int64_t packed = 0;  // where its first element lands
};

class ChainOrder {
 public:
  // REQUIRES: leaves is a power of two up to 64; members add up to `dimension` and divide by leaves.
  void set(const SumOrder& order, std::int64_t dimension, bool pairs);

  [[nodiscard]] int leaves() const { return leaves_; }
  [[nodiscard]] std::int64_t leaf_length() const { return leaf_length_; }  // packed, padding included
  [[nodiscard]] std::int64_t length() const { return leaf_length_ * leaves_; }
  [[nodiscard]] const std::vector<ChainPart>& parts() const { return parts_; }
  // Every part may be packed by itself: no pair straddles two parts and only a leaf's end is padded.
  [[nodiscard]] bool parts_are_whole() const { return parts_are_whole_; }
  // Makes sources(), which few products need.
  void list_sources();
  // Source element of each packed place, -1 for padding. REQUIRES: list_sources() since set().
  [[nodiscard]] const std::vector<std::int64_t>& sources() const { return sources_; }

 private:
  int leaves_ = 1;
  bool pairs_ = false;
  std::int64_t leaf_length_ = 0;
  bool parts_are_whole_ = true;
  std::vector<ChainPart> parts_;
  std::vector<std::int64_t> sources_;
};

}  // namespace megalith::cpu
