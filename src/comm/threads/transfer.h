// What one operation moves, cut into pieces that any thread may do in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "comm/communicator.h"
#include "comm/operation.h"

namespace megalith {

// What all parties of an operation must agree on. Of a message the kind is send at both ends.
struct Call {
  OperationKind kind = OperationKind::send;
  IntegerReduction reduction = IntegerReduction::sum;
  int root = 0;
  std::size_t bytes = 0;  // of what one rank gives to one rank; all of an all-reduce
  bool operator==(const Call&) const = default;
};

// One party's memory. A sender has no `to`, a receiver no `from`.
struct PartyMemory {
  const std::byte* from = nullptr;
  std::byte* to = nullptr;
};

std::int64_t num_pieces(const Call& call, std::size_t parties);
// All that the pieces write.
std::size_t bytes_moved(const Call& call, std::size_t parties);
void move_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece);

}  // namespace megalith
