#include "train/rank_plan.h"

#include <algorithm>
#include <numeric>

#include "train/batch_schedule.h"
#include "train/batch_share.h"
#include "train/divisors.h"
#include "train/layout_rules.h"

namespace megalith {

PipelineConfig pipeline_config(const TrainConfig& config, const Layout& layout) {
  std::int64_t most = 1;
  const BatchSchedule batches(config.batch);
  for (const BatchSchedule::Stage& stage : batches.stages()) {
    most = std::max(most, most_micro_batches(stage.sequences, sequences_per_unit(config), layout.data,
                                             config.batch.micro));
  }
  PipelineConfig pipeline{.model = config.model,
                          .numerics = config.numerics,
                          .schedule = config.parallel.schedule,
                          .stages = layout.pipeline,
                          .chunks = static_cast<int>(config.parallel.chunks),
                          .recompute = {.mode = config.parallel.recompute,
                                        .blocks = static_cast<int>(config.parallel.recompute_layers)},
                          .sequences = config.batch.micro,
                          .sequence = config.batch.sequence,
                          .max_micro_batches = static_cast<int>(most),
                          .sequence_parallel = config.parallel.sequence};
  if (layout.pipeline > 1) {
    ParallelConfig degrees = config.parallel;
    degrees.pipeline = layout.pipeline;
    pipeline.layers = layers_of_chunks(degrees, config.model.layers);
  }
  return pipeline;
}

ShardPlace shard_place(const TrainConfig& config, const Mesh& mesh) {
  return {
      .stage = static_cast<int>(config.parallel.zero), .size = mesh.layout().data, .rank = mesh.place().data};
}

std::vector<ParameterSpec> specs_of_rank(const TrainConfig& config, const Mesh& mesh) {
  const PipelineConfig pipeline = pipeline_config(config, mesh.layout());
  const std::vector<ModelPart> parts = parts_of_stage(pipeline, mesh.place().pipeline);
  return Transformer::specs(config.model, config.numerics, parts, sharing_of(pipeline, mesh));
}

RankNeeds measure_rank(const TrainConfig& config, const Mesh& mesh) {
  const TensorPlace tensor{mesh.layout().tensor, mesh.place().tensor};
  const Parameters parameters(specs_of_rank(config, mesh), config.numerics.compute,
                              Parameters::Use::measuring, tensor, shard_place(config, mesh));
  return {.pipeline = measure_pipeline(pipeline_config(config, mesh.layout()), mesh),
          .parameter_bytes = parameters.bytes()};
}

std::string empty_places_hint(const TrainConfig& config, const Layout& layout) {
  const BatchConfig& batch = config.batch;
  const std::int64_t unit = sequences_per_unit(config);
  const std::int64_t largest = share_sizes(batch.global, unit, layout.data).most;
  if (largest >= batch.micro) return {};
  std::int64_t better = unit;  // a micro batch divides every size of batch
  for (const std::int64_t micro :
       divisors_of(std::gcd(batch.global, std::gcd(batch.ramp_start, batch.ramp_increment)))) {
    if (micro <= largest && micro % unit == 0) better = micro;
  }
  return fmt::format(
      "a data rank has {} of the {} sequences that a micro batch has places for, and the others are computed "
      "for nothing; try batch.micro = {}\n",
      largest, batch.micro, better);
}

}  // namespace megalith
