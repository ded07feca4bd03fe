// Parameters in checkpoints: a tensor stands there as logical boxes, and a rank adds and reads its own,
// whatever layout wrote it or will read it.
#pragma once

#include <string>

#include "core/error.h"
#include "layers/parameters.h"
#include "run/checkpoint.h"

namespace megalith {

// The boxes of `local`, which lies in memory as the parameter's master does. Nothing where the parameter is
// not counted by this rank.
void add_pieces(CheckpointWriter& writer, const std::string& name, const Parameter& parameter,
                const Tensor& local);
// Refuses a tensor of another dtype, or of another shape than the whole model's.
Expected<void> load_pieces(const Checkpoint& checkpoint, const std::string& name, const Parameter& parameter,
                           const Tensor& local);

}  // namespace megalith
