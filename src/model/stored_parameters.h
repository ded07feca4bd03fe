// Parameters in checkpoints: a tensor stands there as logical boxes, and a rank adds and reads its own,
// whatever layout wrote it or will read it.
#pragma once

#include <string>
#include <utility>

#include "core/error.h"
#include "layers/weight_source.h"
#include "run/checkpoint.h"

namespace megalith {

// The parameters of a whole model in a checkpoint, under "model.", for inference. REQUIRES: a checkpoint
// whose digests were checked (Checkpoint::verify) and are not while it is read, when nothing is refused any
// more.
class StoredWeights final : public WeightSource {
 public:
  // Refuses a checkpoint without one of the parameters, or with one of another dtype or shape.
  static Expected<StoredWeights> of(const Checkpoint& checkpoint, const Parameters& parameters);
  void read_rows(const Parameter& parameter, std::int64_t first, const Tensor& to) const override;
  void rows_done(const Parameter& parameter, std::int64_t first, std::int64_t count) const override;

 private:
  explicit StoredWeights(Checkpoint checkpoint) : checkpoint_(std::move(checkpoint)) {}
  Checkpoint checkpoint_;
};

// The boxes of `local`, which lies in memory as the parameter's master does. Nothing where the parameter is
// not counted by this rank.
void add_pieces(CheckpointWriter& writer, const std::string& name, const Parameter& parameter,
                const Tensor& local);
// Refuses a tensor of another dtype, or of another shape than the whole model's.
Expected<void> load_pieces(const Checkpoint& checkpoint, const std::string& name, const Parameter& parameter,
                           const Tensor& local);

}  // namespace megalith
