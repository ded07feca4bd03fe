// The ranks that share each matrix of a model, as layers talk to them.
#pragma once

#include <memory>

#include "comm/communicator.h"
#include "layers/tensor_place.h"

namespace megalith {

class TensorGroup {
 public:
  // Collective over `ranks`, which outlives the group.
  TensorGroup(Communicator& ranks, int kv_heads);
  // Ranks that are not there, for measuring with the simulated device.
  static TensorGroup simulated(TensorPlace place, int kv_heads);

  [[nodiscard]] TensorPlace place() const { return {ranks_->size(), ranks_->rank()}; }
  [[nodiscard]] Communicator& ranks() const { return *ranks_; }
  // The ranks whose query heads use one key/value head, where there are fewer such heads than ranks: each has
  // a part of its features (docs/numerics.md). REQUIRES: key_value_sharers(...) > 1.
  [[nodiscard]] Communicator& sharers() const { return *sharers_; }

 private:
  TensorGroup() = default;
  std::unique_ptr<Communicator> own_ranks_;
  Communicator* ranks_ = nullptr;
  std::unique_ptr<Communicator> sharers_;
};

// Of how many tensor ranks the query heads use one key/value head: 1 unless there are more ranks than such
// heads.
constexpr int key_value_sharers(TensorPlace place, int kv_heads) {
  return place.size > kv_heads ? place.size / kv_heads : 1;
}

}  // namespace megalith
