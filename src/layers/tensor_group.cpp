#include "layers/tensor_group.h"

#include "comm/sim/simulated_communicator.h"

namespace megalith {

TensorGroup::TensorGroup(Communicator& ranks, int kv_heads) : ranks_(&ranks) {
  const int sharers = key_value_sharers(place(), kv_heads);
  if (sharers > 1) sharers_ = ranks.split(ranks.rank() / sharers, ranks.rank(), "key/value head");
}

TensorGroup TensorGroup::simulated(TensorPlace place, int kv_heads) {
  TensorGroup group;
  group.own_ranks_ = make_simulated_communicator(place.rank, place.size, "tensor");
  group.ranks_ = group.own_ranks_.get();
  const int sharers = key_value_sharers(place, kv_heads);
  if (sharers > 1)
    group.sharers_ = make_simulated_communicator(place.rank % sharers, sharers, "key/value head");
  return group;
}

}  // namespace megalith
