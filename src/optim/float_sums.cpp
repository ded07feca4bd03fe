#include "optim/float_sums.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace megalith {
namespace {

Tensor part_of(const Tensor& flat, std::int64_t begin, std::int64_t count) {
  return {flat.as<float>() + begin, DType::f32, {count}};
}

std::int64_t part_of_chunk(const FloatSums::Shape& shape) {
  return std::max<std::int64_t>(1, std::min(shape.chunk, shape.longest) / shape.ranks);
}

}  // namespace

void FloatSums::allocate(Arena& arena, const Shape& shape, std::array<Slot, 2>& slots) {
  const std::int64_t part = part_of_chunk(shape);
  for (Slot& slot : slots) {
    slot.received = arena.allocate(DType::f32, {shape.ranks, part});
    if (shape.to_shards && part * shape.ranks < shape.longest)
      slot.packed = arena.allocate(DType::f32, {shape.ranks, part});
  }
}

std::size_t FloatSums::bytes(const Shape& shape) {
  Arena arena = Arena::measuring("sums of gradients");
  std::array<Slot, 2> slots;
  allocate(arena, shape, slots);
  return arena.peak();
}

FloatSums::FloatSums(Communicator& ranks, Device& device, Arena& arena, const Shape& shape, Limits limits)
    : ranks_(ranks), device_(device), limits_(limits), part_(part_of_chunk(shape)) {
  MEGALITH_CHECK(shape.ranks == ranks.size(), "{} ranks of {}", ranks.size(), shape.ranks);
  allocate(arena, shape, slots_);
}

// The one that began first.
FloatSums::Slot& FloatSums::free_slot() {
  Slot& slot = slots_.at(next_);
  next_ = 1 - next_;
  settle(slot);
  return slot;
}

void FloatSums::settle(Slot& slot) {
  if (!slot.busy) return;
  ranks_.wait(slot.request);
  device_.shards().rank_sum(
      {.parts = slot.parts, .y = slot.sum, .shift = limits_.shift, .verdict = limits_.verdict});
  if (!slot.whole.empty()) gathers_.push_back(ranks_.all_gather(slot.sum.bytes(), slot.whole.bytes()));
  slot.busy = false;
}

void FloatSums::to_all(const Tensor& gradient) {
  const Tensor flat = gradient.flattened();
  const std::int64_t ranks = ranks_.size();
  MEGALITH_CHECK(flat.count() % ranks == 0, "{} over {} ranks", describe(gradient), ranks);
  for (std::int64_t begin = 0; begin < flat.count(); begin += part_ * ranks) {
    const std::int64_t part = std::min(part_, (flat.count() - begin) / ranks);
    Slot& slot = free_slot();
    slot.whole = part_of(flat, begin, part * ranks);
    slot.sum = part_of(slot.whole, ranks_.rank() * part, part);
    slot.parts = Tensor(slot.received.data, DType::f32, {ranks, part});
    slot.request = ranks_.all_to_all(slot.whole.bytes(), slot.parts.bytes());
    slot.busy = true;
  }
}

void FloatSums::to_shards(const Tensor& gradient, const Tensor& shard) {
  const std::int64_t ranks = ranks_.size();
  const std::int64_t length = shard.count();
  MEGALITH_CHECK(gradient.count() == length * ranks, "{} over {} ranks", describe(gradient), ranks);
  for (std::int64_t begin = 0; begin < length; begin += part_) {
    const std::int64_t part = std::min(part_, length - begin);
    Slot& slot = free_slot();
    Tensor from = gradient;
    if (part < length) {
      from = Tensor(slot.packed.data, DType::f32, {ranks, part});
      for (std::int64_t r = 0; r < ranks; ++r) {
        std::memcpy(from.row<float>(r), gradient.as<float>() + r * length + begin,
                    static_cast<std::size_t>(part) * sizeof(float));
      }
    }
    slot.whole = {};
    slot.sum = part_of(shard, begin, part);
    slot.parts = Tensor(slot.received.data, DType::f32, {ranks, part});
    slot.request = ranks_.all_to_all(from.bytes(), slot.parts.bytes());
    slot.busy = true;
  }
}

void FloatSums::finish() {
  settle(slots_.at(next_));
  settle(slots_.at(1 - next_));
  for (const Communicator::Request request : gathers_) ranks_.wait(request);
  gathers_.clear();
}

}  // namespace megalith
