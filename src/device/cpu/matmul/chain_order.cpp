#include "device/cpu/matmul/chain_order.h"

#include <bit>
#include <utility>

#include "core/error.h"

namespace megalith::cpu {

void ChainOrder::set(const SumOrder& order, std::int64_t dimension, bool pairs) {
  MEGALITH_CHECK(order.leaves >= 1 && order.leaves <= 64 && std::has_single_bit(unsigned(order.leaves)),
                 "{} leaves", order.leaves);
  std::array<std::int64_t, 3> members = order.members;
  if (members[0] == 0) members = {dimension, 0, 0};
  MEGALITH_CHECK(members[0] + members[1] + members[2] == dimension && dimension % order.leaves == 0,
                 "{} of {}", members[0] + members[1] + members[2], dimension);
  leaves_ = order.leaves;
  pairs_ = pairs;
  const std::int64_t leaf = dimension / leaves_;
  leaf_length_ = pairs ? (leaf + 1) / 2 * 2 : leaf;
  parts_are_whole_ = true;
  parts_.clear();
  for (int f = 0; f < leaves_; ++f) {
    std::int64_t packed = f * leaf_length_;
    std::int64_t member_begin = 0;
    for (const std::int64_t member : members) {
      if (member == 0) continue;
      MEGALITH_CHECK(member % leaves_ == 0, "a member of {} in {} leaves", member, leaves_);
      const std::int64_t count = member / leaves_;
      parts_.push_back({.source = member_begin + f * count, .count = count, .packed = packed});
      packed += count;
      member_begin += member;
      const bool leaf_ends = packed == f * leaf_length_ + leaf;
      if (pairs && count % 2 != 0 && !leaf_ends) parts_are_whole_ = false;
    }
  }
}

void ChainOrder::list_sources() {
  sources_.assign(static_cast<std::size_t>(length()), -1);
  for (const ChainPart& part : parts_) {
    for (std::int64_t i = 0; i < part.count; ++i) {
      sources_[static_cast<std::size_t>(part.packed + i)] = part.source + i;
    }
  }
  if (!pairs_) return;
  for (std::size_t i = 0; i + 1 < sources_.size(); i += 2) std::swap(sources_[i], sources_[i + 1]);
}

}  // namespace megalith::cpu
