#include "train/rank_plan.h"

#include <algorithm>

#include "train/batch_schedule.h"
#include "train/batch_share.h"
#include "train/float_exchange.h"
#include "train/layout_rules.h"

namespace megalith {

std::int64_t sequences_at_once(const TrainConfig& config, const Layout& layout) {
  const BatchSchedule batches(config.batch);
  const std::int64_t unit = sequences_per_unit(config);
  const auto takes_no_more_passes = [&](std::int64_t micro) {
    return std::all_of(batches.stages().begin(), batches.stages().end(), [&](const auto& stage) {
      const std::int64_t share = share_sizes(stage.sequences, unit, layout.data).most;
      return micro_batches_of(share, micro) == micro_batches_of(share, config.batch.micro);
    });
  };
  const std::int64_t step = sequences_of_whole_cuts(config, layout.tensor);
  std::int64_t micro = step;
  while (micro < config.batch.micro && !takes_no_more_passes(micro)) micro += step;
  return std::min(micro, config.batch.micro);
}

PipelineConfig pipeline_config(const TrainConfig& config, const Layout& layout) {
  std::int64_t most = 1;
  const std::int64_t micro = sequences_at_once(config, layout);
  const BatchSchedule batches(config.batch);
  for (const BatchSchedule::Stage& stage : batches.stages()) {
    most =
        std::max(most, most_micro_batches(stage.sequences, sequences_per_unit(config), layout.data, micro));
  }
  PipelineConfig pipeline{.model = config.model,
                          .numerics = config.numerics,
                          .schedule = config.parallel.schedule,
                          .stages = layout.pipeline,
                          .chunks = static_cast<int>(config.parallel.chunks),
                          .recompute = {.mode = config.parallel.recompute,
                                        .blocks = static_cast<int>(config.parallel.recompute_layers)},
                          .sequences = micro,
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
  const Parameters parameters(specs_of_rank(config, mesh), config.numerics, Parameters::Use::measuring,
                              tensor, shard_place(config, mesh));
  return {.pipeline = measure_pipeline(pipeline_config(config, mesh.layout()), mesh),
          .parameter_bytes = parameters.bytes(),
          .exchange_bytes = FloatExchange::bytes(config, parameters, mesh)};
}

}  // namespace megalith
