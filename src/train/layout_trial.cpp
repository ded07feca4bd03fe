#include "train/layout_trial.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <set>
#include <utility>

#include "comm/exchange.h"
#include "comm/threads/threads.h"
#include "core/digest.h"
#include "train/layout_rules.h"

namespace megalith {
namespace {

// One line per step with everything that every rank must find: exact, as it is compared.
std::string exact_text(const StepResult& step) {
  return fmt::format("{} data {} loss {} norm {} parameters {} tokens {} {}", step.step + 1,
                     to_hex(step.data_digest), to_hex(std::bit_cast<std::uint64_t>(step.loss)),
                     to_hex(std::bit_cast<std::uint64_t>(step.gradient_norm)), to_hex(step.parameter_digest),
                     step.loss_tokens, step.skipped ? "bad: " + step.bad : "");
}

std::uint64_t digest_of(const std::vector<std::uint64_t>& values) {
  return digest_bytes(values.data(), values.size() * sizeof(std::uint64_t));
}

// What ranks say differently from rank 0.
std::string disagreement(const std::vector<StepResult>& steps, Communicator& world) {
  for (const StepResult& step : steps) {
    const std::vector<std::string> said = texts_of(world, exact_text(step));
    if (const std::size_t other = first_unlike(said); other != 0)
      return fmt::format("rank 0 says {}, rank {} says {}", said[0], other, said[other]);
  }
  return {};
}

void save(const Trainer& trainer, const std::filesystem::path& folder, std::int64_t steps,
          Communicator& world) {
  CheckpointWriter writer(folder, steps, {.writer = world.rank(), .writers = world.size()});
  trainer.save(writer);
  CheckpointFacts facts;
  facts.step = steps;
  writer.finish_together(facts, [&](const std::string& mine) { return texts_of(world, mine); });
}

std::vector<std::byte> bytes_of(const Checkpoint& checkpoint, const std::string& name,
                                const CheckpointTensor& shape) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(count_of(shape.shape)) * size_of(shape.dtype));
  value_or_throw(checkpoint.load(
      name, {bytes.data(), shape.dtype, {shape.shape[0], shape.shape[1], shape.shape[2], shape.shape[3]}}));
  return bytes;
}

}  // namespace

std::uint64_t LayoutTrial::loss_digest() const {
  std::vector<std::uint64_t> bits;
  for (const StepResult& step : steps) bits.push_back(std::bit_cast<std::uint64_t>(step.loss));
  return digest_of(bits);
}

std::uint64_t LayoutTrial::norm_digest() const {
  std::vector<std::uint64_t> bits;
  for (const StepResult& step : steps) bits.push_back(std::bit_cast<std::uint64_t>(step.gradient_norm));
  return digest_of(bits);
}

std::uint64_t LayoutTrial::parameter_digest() const {
  return steps.empty() ? 0 : steps.back().parameter_digest;
}

LayoutTrial try_layout(const TrainConfig& config, const TrialSetup& setup, Communicator& world) {
  const std::unique_ptr<Device> device = setup.make_device();
  const std::unique_ptr<Communicator> faulty = setup.fault ? with_fault(world, *setup.fault) : nullptr;
  const Mesh mesh(layout_of(config.parallel), faulty ? *faulty : world);
  Trainer trainer(config, *device, setup.train, mesh, setup.schedule);
  LayoutTrial trial;
  for (std::int64_t step = 0; step < setup.steps; ++step) trial.steps.push_back(trainer.run_step(step));
  trial.disagreement = disagreement(trial.steps, world);
  if (!setup.save_to.empty()) save(trainer, setup.save_to, setup.steps, world);
  return trial;
}

LayoutTrial try_layout(const TrainConfig& config, const TrialSetup& setup) {
  LayoutTrial of_first;
  run_ranks(layout_of(config.parallel).ranks(), [&](Communicator& world) {
    LayoutTrial trial = try_layout(config, setup, world);
    if (world.rank() == 0) of_first = std::move(trial);
  });
  return of_first;
}

std::optional<TrialDifference> first_difference(const LayoutTrial& expected, const LayoutTrial& found) {
  const auto number = [](double value) {
    return fmt::format("{} ({})", value, to_hex(std::bit_cast<std::uint64_t>(value)));
  };
  const auto verdict = [](const StepResult& step) {
    return step.skipped ? "bad: " + step.bad : std::string("good");
  };
  for (std::size_t s = 0; s < std::min(expected.steps.size(), found.steps.size()); ++s) {
    const StepResult& a = expected.steps[s];
    const StepResult& b = found.steps[s];
    const std::pair<const char*, std::pair<std::string, std::string>> fields[] = {
        {"data", {to_hex(a.data_digest), to_hex(b.data_digest)}},
        {"loss tokens", {std::to_string(a.loss_tokens), std::to_string(b.loss_tokens)}},
        {"verdict", {verdict(a), verdict(b)}},
        {"loss", {number(a.loss), number(b.loss)}},
        {"gradient norm", {number(a.gradient_norm), number(b.gradient_norm)}},
        {"parameters", {to_hex(a.parameter_digest), to_hex(b.parameter_digest)}},
    };
    for (const auto& [what, values] : fields) {
      if (values.first != values.second)
        return TrialDifference{
            .step = a.step + 1, .what = what, .expected = values.first, .found = values.second};
    }
  }
  if (found.disagreement.empty()) return std::nullopt;
  return TrialDifference{.step = found.steps.back().step + 1,
                         .what = "ranks",
                         .expected = "one result",
                         .found = found.disagreement};
}

TensorDifference differing_tensors(const ModelConfig& model, const std::filesystem::path& expected,
                                   const std::filesystem::path& found) {
  const Checkpoint a = value_or_throw(open_checkpoint(expected));
  const Checkpoint b = value_or_throw(open_checkpoint(found));
  std::vector<std::string> names;
  std::set<std::string> listed;
  for (const TensorShape& tensor : tensor_shapes(model)) {
    if (a.find("model." + tensor.name) != nullptr && listed.insert("model." + tensor.name).second)
      names.push_back("model." + tensor.name);
  }
  for (const auto& [name, tensor] : a.manifest().tensors) {
    if (listed.insert(name).second) names.push_back(name);
  }
  TensorDifference difference;
  for (const std::string& name : names) {
    const CheckpointTensor* other = b.find(name);
    const CheckpointTensor& one = *a.find(name);
    if (other != nullptr && bytes_of(a, name, one) == bytes_of(b, name, one)) continue;
    if (difference.tensors++ == 0) difference.first = name;
  }
  return difference;
}

}  // namespace megalith
