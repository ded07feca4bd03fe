// Sums of gradients in f32 over ranks. The communicator has no sum of floats: parts cross over, and each rank
// adds those of its part in the order of the ranks, so that a layout has one set of bits.
//
// Chunks pass through memory of a fixed size, two of them at a time: one is on its way while the other is
// added.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "core/arena.h"
#include "device/device.h"

namespace megalith {

class FloatSums {
 public:
  static constexpr std::int64_t kChunk = 1 << 22;  // elements that cross over at once, 16 MiB

  // What memory follows from.
  struct Shape {
    int ranks = 1;
    std::int64_t longest = 0;  // elements of the longest tensor that is summed
    bool to_shards = false;
    std::int64_t chunk = kChunk;
  };
  // Where sums that leave their range are told (RankSum).
  struct Limits {
    int shift = 0;
    Verdict* verdict = nullptr;
  };

  // All outlive it. Tensors that are summed are a multiple of the ranks long, with a chunk a multiple of
  // them.
  FloatSums(Communicator& ranks, Device& device, Arena& arena, const Shape& shape, Limits limits);
  static std::size_t bytes(const Shape& shape);

  // Every rank has the sum in place, or its shard of it: a part of the tensor as long as `shard`, the rank's
  // by number. It begins here, in the same order on every rank, and is there after finish().
  void to_all(const Tensor& gradient);
  void to_shards(const Tensor& gradient, const Tensor& shard);
  void finish();

 private:
  // One chunk on its way.
  struct Slot {
    Tensor received;  // [ranks, part]
    Tensor packed;    // as received, where parts do not lie side by side
    bool busy = false;
    Communicator::Request request;
    Tensor parts, sum;
    Tensor whole;  // where sums of all ranks go, or empty
  };
  static void allocate(Arena& arena, const Shape& shape, std::array<Slot, 2>& slots);
  Slot& free_slot();
  void settle(Slot& slot);

  Communicator& ranks_;
  Device& device_;
  Limits limits_;
  std::int64_t part_;  // of a chunk, for one rank
  std::array<Slot, 2> slots_;
  std::size_t next_ = 0;
  std::vector<Communicator::Request> gathers_;
};

}  // namespace megalith
