// The arrays of one micro batch, allocated once and filled from a dataset before each use.
#pragma once

#include <cstdint>
#include <vector>

#include "data/dataset.h"
#include "layers/step_context.h"

namespace megalith {

class BatchBuffers {
 public:
  BatchBuffers(std::int64_t sequences, std::int64_t sequence);

  // Sequence i of the micro batch becomes sample first_sample + i of the dataset; its first `used` sequences.
  // The rest of a short batch are wholly masked.
  const MicroBatch& fill(const Dataset& dataset, std::int64_t first_sample, std::int64_t used);
  [[nodiscard]] const MicroBatch& batch() const { return batch_; }
  // Sum mod 2^64 over the first `used` sequences of a digest of sample index, ids, targets and loss mask: the
  // digests of micro batches add up to the global batch's, however it was cut.
  [[nodiscard]] std::uint64_t digest(std::int64_t used) const;

 private:
  std::vector<std::int32_t> ids_, targets_, document_start_, positions_;
  std::vector<std::uint8_t> loss_mask_;
  std::vector<std::int64_t> samples_;
  MicroBatch batch_;
};

}  // namespace megalith
