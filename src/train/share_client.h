// A data rank's share of a batch, as the pipeline engine asks for it.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/dataset.h"
#include "pipeline/engine.h"
#include "train/batch_buffers.h"
#include "train/batch_share.h"

namespace megalith {

// Micro batch i is sequences [i * micro, (i + 1) * micro) of the share; behind its end there are wholly
// masked ones.
class ShareClient final : public PipelineClient {
 public:
  // first_sample: of sequence 0 of the batch. scored: called as PipelineClient::scored, or empty. All outlive
  // it.
  ShareClient(const Dataset& dataset, std::int64_t first_sample, const BatchShare& share,
              std::vector<BatchBuffers>& buffers, const std::function<void(const MicroBatch&)>& scored)
      : dataset_(dataset),
        first_sample_(first_sample + share.first),
        sequences_(share.sequences),
        buffers_(buffers),
        scored_(scored) {}

  const MicroBatch& fill(std::int64_t index, int buffer) override;
  void scored(const MicroBatch& batch) override {
    if (scored_) scored_(batch);
  }
  // Of all sequences filled so far (BatchBuffers::digest).
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

 private:
  const Dataset& dataset_;
  std::int64_t first_sample_;
  std::int64_t sequences_;
  std::vector<BatchBuffers>& buffers_;  // one per slot of the engine
  const std::function<void(const MicroBatch&)>& scored_;
  std::uint64_t digest_ = 0;
};

}  // namespace megalith
