#include "comm/threads/transfer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "comm/integer_reduction.h"

namespace megalith {
namespace {

// A piece's source stays in the second-level cache while it is written to several ranks.
constexpr std::size_t kPieceBytes = 128 * 1024;

// The range of one piece within what one rank gives.
struct Range {
  std::size_t begin = 0, bytes = 0;
};

std::int64_t chunks_of(std::size_t bytes) {
  return static_cast<std::int64_t>((bytes + kPieceBytes - 1) / kPieceBytes);
}

Range range_of(std::size_t bytes, std::int64_t chunk) {
  const std::size_t begin = static_cast<std::size_t>(chunk) * kPieceBytes;
  return {begin, std::min(kPieceBytes, bytes - begin)};
}

void copy(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (to != from) std::memcpy(to, from, bytes);
}

// Sums of blocks that stay in the first-level cache, read from every rank before any is written: both may be
// the same memory.
constexpr std::size_t kBlock = 1024;
using Block = std::array<std::uint64_t, kBlock>;

// Combines [offset, offset + range) of every party's `from` and gives each block to write(begin within range,
// bytes).
template <class Write>
void reduce(std::span<const PartyMemory> memory, std::size_t offset, std::size_t bytes,
            IntegerReduction reduction, Write write) {
  Block block;
  for (std::size_t begin = 0; begin < bytes; begin += sizeof(Block)) {
    const std::size_t size = std::min(sizeof(Block), bytes - begin);
    std::memcpy(block.data(), memory[0].from + offset + begin, size);
    for (std::size_t party = 1; party < memory.size(); ++party) {
      const auto* values = reinterpret_cast<const std::uint64_t*>(memory[party].from + offset + begin);
      reduce_into(block.data(), values, size / sizeof(std::uint64_t), reduction);
    }
    write(begin, block.data(), size);
  }
}

void all_gather_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  const std::int64_t chunks = chunks_of(call.bytes);
  const auto source = static_cast<std::size_t>(piece / chunks);
  const Range range = range_of(call.bytes, piece % chunks);
  for (const PartyMemory& party : memory) {
    copy(party.to + source * call.bytes + range.begin, memory[source].from + range.begin, range.bytes);
  }
}

void all_to_all_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  const std::int64_t chunks = chunks_of(call.bytes);
  const auto pair = static_cast<std::size_t>(piece / chunks);
  const std::size_t source = pair % memory.size();
  const std::size_t target = pair / memory.size();
  const Range range = range_of(call.bytes, piece % chunks);
  copy(memory[target].to + source * call.bytes + range.begin,
       memory[source].from + target * call.bytes + range.begin, range.bytes);
}

void broadcast_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  const Range range = range_of(call.bytes, piece);
  const std::byte* from = memory[static_cast<std::size_t>(call.root)].from + range.begin;
  for (const PartyMemory& party : memory) copy(party.to + range.begin, from, range.bytes);
}

void all_reduce_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  const Range range = range_of(call.bytes, piece);
  reduce(memory, range.begin, range.bytes, call.reduction,
         [&](std::size_t begin, const void* block, std::size_t size) {
           for (const PartyMemory& party : memory) std::memcpy(party.to + range.begin + begin, block, size);
         });
}

void reduce_scatter_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  const std::int64_t chunks = chunks_of(call.bytes);
  const auto target = static_cast<std::size_t>(piece / chunks);
  const Range range = range_of(call.bytes, piece % chunks);
  reduce(memory, target * call.bytes + range.begin, range.bytes, IntegerReduction::sum,
         [&](std::size_t begin, const void* block, std::size_t size) {
           std::memcpy(memory[target].to + range.begin + begin, block, size);
         });
}

}  // namespace

std::int64_t num_pieces(const Call& call, std::size_t parties) {
  const auto count = static_cast<std::int64_t>(parties);
  const std::int64_t chunks = chunks_of(call.bytes);
  switch (call.kind) {
    case OperationKind::all_gather:
    case OperationKind::reduce_scatter:
      return count * chunks;
    case OperationKind::all_to_all:
      return count * count * chunks;
    default:
      return chunks;
  }
}

std::size_t bytes_moved(const Call& call, std::size_t parties) {
  switch (call.kind) {
    case OperationKind::all_gather:
    case OperationKind::reduce_scatter:
    case OperationKind::all_to_all:
      return parties * parties * call.bytes;
    case OperationKind::broadcast:
    case OperationKind::all_reduce:
      return parties * call.bytes;
    default:
      return call.bytes;
  }
}

void move_piece(const Call& call, std::span<const PartyMemory> memory, std::int64_t piece) {
  switch (call.kind) {
    case OperationKind::all_gather:
      return all_gather_piece(call, memory, piece);
    case OperationKind::all_to_all:
      return all_to_all_piece(call, memory, piece);
    case OperationKind::broadcast:
      return broadcast_piece(call, memory, piece);
    case OperationKind::all_reduce:
      return all_reduce_piece(call, memory, piece);
    case OperationKind::reduce_scatter:
      return reduce_scatter_piece(call, memory, piece);
    case OperationKind::send:
    case OperationKind::receive: {
      const Range range = range_of(call.bytes, piece);
      return copy(memory[1].to + range.begin, memory[0].from + range.begin, range.bytes);
    }
  }
}

}  // namespace megalith
