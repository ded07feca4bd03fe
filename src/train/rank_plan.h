// What one rank of a layout holds and needs.
#pragma once

#include <cstdint>

#include "comm/mesh.h"
#include "layers/parameters.h"
#include "model/transformer.h"
#include "pipeline/engine.h"
#include "train/train_config.h"

namespace megalith {

// REQUIRES for all: a layout that is legal for the config (train/layout_rules.h).

// Sequences of a micro batch: batch.micro, or as few as take no more passes where no data rank's share of a
// step fills so many.
std::int64_t sequences_at_once(const TrainConfig& config, const Layout& layout);
PipelineConfig pipeline_config(const TrainConfig& config, const Layout& layout);
ShardPlace shard_place(const TrainConfig& config, const Mesh& mesh);
std::vector<ParameterSpec> specs_of_rank(const TrainConfig& config, const Mesh& mesh);

// Memory of one rank's arenas, measured on the simulated device. `mesh` may be a simulated one.
struct RankNeeds {
  PipelineNeeds pipeline;
  std::size_t parameter_bytes = 0;  // weights, gradients and moments
  std::size_t exchange_bytes = 0;   // through which gradients in f32 are summed over ranks

  // By what people know: activations of all micro batches in flight, and what is given back within a step.
  [[nodiscard]] std::size_t activation_bytes() const {
    return static_cast<std::size_t>(pipeline.slots) * (pipeline.slot_bytes + pipeline.half_bytes);
  }
  [[nodiscard]] std::size_t workspace_bytes() const {
    return pipeline.workspace_bytes + pipeline.message_bytes + exchange_bytes;
  }
  [[nodiscard]] std::size_t bytes() const { return parameter_bytes + activation_bytes() + workspace_bytes(); }
};
RankNeeds measure_rank(const TrainConfig& config, const Mesh& mesh);

}  // namespace megalith
