#include "train/share_client.h"

#include <algorithm>

namespace megalith {

const MicroBatch& ShareClient::fill(std::int64_t index, int buffer) {
  BatchBuffers& buffers = buffers_[static_cast<std::size_t>(buffer)];
  const std::int64_t micro = buffers.batch().sequences;
  const std::int64_t used = std::clamp<std::int64_t>(sequences_ - index * micro, 0, micro);
  const MicroBatch& batch = buffers.fill(dataset_, first_sample_ + index * micro, used);
  digest_ += buffers.digest(used);
  return batch;
}

}  // namespace megalith
