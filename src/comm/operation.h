// What kinds of operation there are, for whoever carries, counts or records them.
#pragma once

#include <array>
#include <cstdint>

namespace megalith {

enum class OperationKind : std::uint8_t {
  all_gather,
  all_to_all,
  broadcast,
  all_reduce,
  reduce_scatter,
  send,
  receive,
};
inline constexpr int kNumOperationKinds = 7;

constexpr const char* name_of(OperationKind kind) {
  constexpr std::array<const char*, kNumOperationKinds> kNames = {
      "all_gather", "all_to_all", "broadcast", "all_reduce", "reduce_scatter", "send", "receive"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace megalith
