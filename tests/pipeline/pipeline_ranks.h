// A small model trained over ranks as threads, to compare by bits with one rank.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "comm/threads/threads.h"
#include "core/floating_point_mode.h"
#include "model/model_fixture.h"
#include "pipeline/engine.h"

namespace megalith::test {

// What a step leaves behind, whoever did it.
struct StepOutcome {
  std::int64_t loss = 0, tokens = 0;
  std::map<std::string, std::vector<std::int64_t>> gradients;
  std::vector<float> log_probabilities;  // of all micro batches, in order
  bool operator==(const StepOutcome&) const = default;
};

// The first parameter whose gradients differ, or what else does; "" where nothing does.
inline std::string difference(const StepOutcome& a, const StepOutcome& b) {
  if (a.loss != b.loss || a.tokens != b.tokens) return "loss";
  if (a.log_probabilities != b.log_probabilities) return "log-probabilities";
  if (a.gradients.size() != b.gradients.size()) return "number of parameters";
  for (const auto& [name, values] : a.gradients) {
    const auto found = b.gradients.find(name);
    if (found == b.gradients.end() || found->second != values) return name;
  }
  return "";
}

inline constexpr std::int64_t kMicro = 1;

inline StepContext step_on(Device& device, const NumericsProfile& profile, Arena& workspace, Verdict& verdict,
                           float* log_probability) {
  return {.device = device,
          .profile = profile,
          .workspace = workspace,
          .batch = {},
          .seed = 5,
          .training = true,
          .gradient_shift = gradient_shift(profile.batch_tokens_max),
          .verdict = &verdict,
          .log_probability = log_probability};
}

// Micro batches of a batch, one after the other; collects log-probabilities where they are made.
class BatchClient final : public PipelineClient {
 public:
  BatchClient(const Batch& batch, std::size_t buffers) : batch_(batch), filled_(buffers) {
    log_probability.resize(static_cast<std::size_t>(kMicro * batch.sequence));
  }
  const MicroBatch& fill(std::int64_t index, int buffer) override {
    return filled_.at(static_cast<std::size_t>(buffer)) = batch_.micro(index * kMicro, kMicro);
  }
  void scored(const MicroBatch& batch) override {
    const auto first = static_cast<std::size_t>((batch.samples - batch_.samples.data()) * batch.sequence);
    all.resize(static_cast<std::size_t>(batch_.sequences * batch_.sequence));
    std::copy(log_probability.begin(), log_probability.end(),
              all.begin() + static_cast<std::ptrdiff_t>(first));
  }

  std::vector<float> log_probability;  // of the present micro batch
  std::vector<float> all, trained;     // the latter as training left them

 private:
  const Batch& batch_;
  std::vector<MicroBatch> filled_;
};

inline Parameters stage_parameters(const PipelineConfig& config, const Mesh& mesh, Device& device) {
  const TensorSharing tensor = sharing_of(config, mesh);
  Parameters parameters(Transformer::specs(config.model, config.numerics,
                                           parts_of_stage(config, mesh.place().pipeline), tensor),
                        config.numerics.compute, Parameters::Use::training, tensor.place);
  parameters.initialise(1234);
  parameters.refresh_working(device);
  parameters.zero_gradients(device);
  return parameters;
}

inline std::vector<std::int64_t> gradient_of(const Parameter& p) {
  const auto* g = p.gradient.as<std::int64_t>();
  return {g, g + p.gradient.count()};
}

// One rank, everything whole, nothing put off.
inline StepOutcome one_rank(const ModelConfig& model, const NumericsProfile& profile, const Batch& batch) {
  Machine machine(model, profile, kMicro, batch.sequence);
  const LossTotals totals = machine.forward_backward(batch, kMicro);
  StepOutcome outcome{.loss = totals.loss, .tokens = totals.tokens};
  for (const Parameter& p : machine.parameters.all()) outcome.gradients[p.spec.name] = gradient_of(p);
  for (std::int64_t b = 0; b < batch.sequences; ++b) {
    const std::vector<float> scores = machine.evaluate(batch.micro(b, kMicro));
    outcome.log_probabilities.insert(outcome.log_probabilities.end(), scores.begin(), scores.end());
  }
  return outcome;
}

// A rank of a pipeline with all it needs.
struct PipelineRank {
  PipelineRank(const PipelineConfig& config, const Mesh& mesh)
      : device(cpu::make_device(1, cpu::available_isas().back())),
        parameters(stage_parameters(config, mesh, *device)),
        engine(config, mesh, *device, parameters, measure_pipeline(config, mesh)) {}
  std::unique_ptr<Device> device;
  Parameters parameters;
  PipelineEngine engine;
  Verdict verdict;
};

// Training and then scoring the batch with the stages as threads; `inspect` sees every rank afterwards.
inline StepOutcome pipeline_of(
    const PipelineConfig& config, const Batch& batch,
    const std::function<void(const Mesh&, PipelineRank&, const BatchClient&)>& inspect = {},
    bool score_in_training = false) {
  StepOutcome outcome;
  std::mutex mutex;
  run_ranks(config.stages, [&](Communicator& world) {
    set_floating_point_mode();
    const Mesh mesh({.pipeline = config.stages}, world);
    PipelineRank rank(config, mesh);
    const auto micro_batches = static_cast<int>(batch.sequences / kMicro);
    BatchClient client(batch, static_cast<std::size_t>(rank.engine.needs().slots));
    const StepContext step = step_on(*rank.device, config.numerics, rank.engine.workspace(), rank.verdict,
                                     client.log_probability.data());
    LossTotals totals;
    StepContext training = step;
    if (!score_in_training) training.log_probability = nullptr;
    rank.engine.run(training, client, micro_batches, totals);
    client.trained = client.all;
    EXPECT_FALSE(rank.verdict.bad());
    if (config.model.tied_output && mesh.ends() != nullptr) {
      const Tensor& g = rank.parameters.named(Embedding::kTokenTable).gradient;
      mesh.ends()->wait(mesh.ends()->all_reduce({g.as<std::int64_t>(), static_cast<std::size_t>(g.count())},
                                                IntegerReduction::sum));
    }
    StepContext scoring = step;
    scoring.training = false;
    rank.engine.evaluate(scoring, client, micro_batches);
    const std::lock_guard lock(mutex);
    outcome.loss += totals.loss;
    outcome.tokens += totals.tokens;
    for (const Parameter& p : rank.parameters.all()) {
      const auto [entry, fresh] = outcome.gradients.try_emplace(p.spec.name, gradient_of(p));
      EXPECT_TRUE(fresh || entry->second == gradient_of(p)) << "copies of " << p.spec.name << " differ";
    }
    if (mesh.last_stage()) outcome.log_probabilities = client.all;
    if (inspect) inspect(mesh, rank, client);
  });
  return outcome;
}

}  // namespace megalith::test
