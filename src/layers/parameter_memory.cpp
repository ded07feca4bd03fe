#include "layers/parameter_memory.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "layers/unit_gate.h"

namespace megalith {
namespace {

constexpr std::int64_t kAlignment = 32;  // elements: 64 bytes of bf16
constexpr int kSlots = 3;

std::int64_t rounded_up(std::int64_t count, std::int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Ranges without memory, and the tensors' places in them.
ParameterMemory arrange(std::span<const ParameterSpec> specs, const MemoryPlan& plan) {
  ParameterMemory memory;
  memory.places.resize(specs.size());
  const std::int64_t shards = plan.shard.shares(1) ? plan.shard.size : 1;
  // Of a sum in f32 every rank adds an equal part, also where all keep the whole.
  const std::int64_t parts = plan.types.gradient == DType::f32 ? std::max(plan.shard.size, 1) : shards;
  int ordinal = 0;
  for (std::size_t begin = 0; begin < specs.size();) {
    const int unit = specs[begin].unit;
    std::size_t end = begin;
    while (end < specs.size() && specs[end].unit == unit) ++end;
    const int slot = unit == kTokenTableUnit ? 0 : 1 + ordinal++ % 2;
    for (const bool matrices : {true, false}) {
      ParameterRange range{.unit = unit, .matrices = matrices, .slot = slot};
      for (std::size_t i = begin; i < end; ++i) {
        if (specs[i].is_matrix != matrices) continue;
        const LocalShape shape = local_shape(specs[i], plan.tensor);
        memory.places[i] = {memory.ranges.size(), range.count, shape};
        range.count += rounded_up(shape.rows * shape.columns, kAlignment);
      }
      if (range.count == 0) continue;
      range.count = rounded_up(range.count, kAlignment * parts);
      range.shard_count = range.count / shards;
      range.shard_begin = shards > 1 ? plan.shard.rank * range.shard_count : 0;
      memory.ranges.push_back(range);
    }
    begin = end;
  }
  return memory;
}

// Memory that the units of a slot have in turn. Ranges of one unit lie side by side in it.
class Slots {
 public:
  // bytes_per_element of the ranges that lie in slots.
  template <class Bytes>
  Slots(const std::vector<ParameterRange>& ranges, const Bytes& bytes_per_element, Arena& arena) {
    std::array<std::size_t, kSlots> largest{};
    for (const ParameterRange& first : ranges) {
      std::size_t unit = 0;
      for (const ParameterRange& range : ranges) {
        if (range.unit == first.unit)
          unit += static_cast<std::size_t>(range.count) * bytes_per_element(range);
      }
      auto& slot = largest.at(static_cast<std::size_t>(first.slot));
      slot = std::max(slot, unit);
    }
    for (std::size_t slot = 0; slot < kSlots; ++slot)
      memory_[slot] =
          static_cast<std::byte*>(largest[slot] > 0 ? arena.allocate_bytes(largest[slot]) : nullptr);
  }
  Tensor take(const ParameterRange& range, DType dtype) {
    const auto slot = static_cast<std::size_t>(range.slot);
    if (units_[slot] != range.unit) used_[slot] = 0;
    units_[slot] = range.unit;
    Tensor tensor(memory_[slot] + used_[slot], dtype, {range.count});
    used_[slot] += static_cast<std::size_t>(range.count) * size_of(dtype);
    return tensor;
  }

 private:
  std::array<std::byte*, kSlots> memory_{};
  std::array<std::size_t, kSlots> used_{};
  std::array<int, kSlots> units_{-1, -1, -1};
};

// A count is a multiple of kAlignment, so ranges behind one another stay aligned.
void allocate_weights(ParameterMemory& memory, const MemoryPlan& plan, Arena& arena) {
  const auto dtype = [&](const ParameterRange& range) {
    return range.matrices ? plan.types.compute : DType::f32;
  };
  const bool in_slots = plan.training && plan.shard.shares(3);
  const auto bytes = [&](const ParameterRange& range) { return in_slots ? size_of(dtype(range)) : 0; };
  Slots slots(memory.ranges, bytes, arena);
  const auto allocate = [&](ParameterRange& range) {
    const bool rounded = dtype(range) != DType::f32;
    const std::int64_t end = range.shard_begin + range.shard_count;
    range.working = in_slots ? slots.take(range, dtype(range)) : arena.allocate(dtype(range), {range.count});
    range.rounded = in_slots ? arena.allocate(dtype(range), {range.shard_count})
                             : flat_part(range.working, range.shard_begin, end);
    if (!rounded) {
      range.master = range.rounded;
    } else if (plan.training) {
      range.master = arena.allocate(DType::f32, {range.shard_count});
    }
  };
  // For inference vectors come first: where matrices are packed elsewhere, a vector between them would keep a
  // huge page for itself.
  for (ParameterRange& range : memory.ranges) {
    if (plan.training || !range.matrices) allocate(range);
  }
  for (ParameterRange& range : memory.ranges) {
    if (!plan.training && range.matrices) allocate(range);
  }
}

void allocate_gradients(ParameterMemory& memory, const MemoryPlan& plan, Arena& arena) {
  const auto dtype = [&](const ParameterRange& range) {
    return range.matrices ? plan.types.gradient : DType::i64;
  };
  const bool in_slots = plan.shard.shares(2);
  const auto bytes = [&](const ParameterRange& range) { return in_slots ? size_of(dtype(range)) : 0; };
  Slots slots(memory.ranges, bytes, arena);
  for (ParameterRange& range : memory.ranges) {
    const std::int64_t end = range.shard_begin + range.shard_count;
    range.gradient = in_slots ? slots.take(range, dtype(range)) : arena.allocate(dtype(range), {range.count});
    range.reduced = in_slots ? arena.allocate(dtype(range), {range.shard_count})
                             : flat_part(range.gradient, range.shard_begin, end);
  }
}

}  // namespace

Tensor flat_part(const Tensor& flat, std::int64_t begin, std::int64_t end) {
  if (flat.empty() || begin >= end) return {};
  auto* data = static_cast<std::byte*>(flat.data) + static_cast<std::size_t>(begin) * size_of(flat.dtype);
  return {data, flat.dtype, {end - begin}};
}

ParameterMemory lay_out(std::span<const ParameterSpec> specs, const MemoryPlan& plan,
                        ParameterArenas arenas) {
  ParameterMemory memory = arrange(specs, plan);
  allocate_weights(memory, plan, arenas.weights);
  if (!plan.training) return memory;
  allocate_gradients(memory, plan, arenas.gradients);
  for (ParameterRange& range : memory.ranges) {
    range.first_moment = arenas.moments.allocate(DType::f32, {range.shard_count});
    range.second_moment = arenas.moments.allocate(DType::f32, {range.shard_count});
  }
  return memory;
}

}  // namespace megalith
