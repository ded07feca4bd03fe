#include "pipeline/engine.h"

#include <algorithm>

#include "device/sim/simulated_device.h"

namespace megalith {
namespace {

// Micro batches without contents, for measuring.
class NoData final : public PipelineClient {
 public:
  explicit NoData(const PipelineConfig& config)
      : batch_{.sequences = config.sequences, .sequence = config.sequence} {}
  const MicroBatch& fill(std::int64_t, int) override { return batch_; }

 private:
  MicroBatch batch_;
};

std::size_t most(const std::deque<Transformer>& chunks, std::size_t (Transformer::*count)() const) {
  std::size_t result = 0;
  for (const Transformer& chunk : chunks) result = std::max(result, (chunk.*count)());
  return result;
}

// Of the chunk that begins after `before` layers of the rank: a plan counts the layers of a rank.
RecomputePlan recompute_after(const RecomputePlan& plan, int before) {
  if (plan.blocks == 0) return plan;
  if (before >= plan.blocks) return {};
  return {.mode = plan.mode, .blocks = plan.blocks - before};
}

}  // namespace

ScheduleShape shape_of(const PipelineConfig& config, int micro_batches) {
  return {.kind = config.schedule,
          .stages = config.stages,
          .chunks = config.chunks,
          .micro_batches = micro_batches};
}

std::vector<ModelPart> parts_of_stage(const PipelineConfig& config, int stage) {
  if (config.stages == 1 && config.layers.empty()) return {ModelPart{}};
  const std::vector<ModelPart> pieces = parts_of(config.layers);
  MEGALITH_CHECK(static_cast<int>(pieces.size()) == config.stages * config.chunks, "{} pieces for {} x {}",
                 pieces.size(), config.stages, config.chunks);
  std::vector<ModelPart> parts;
  for (int chunk = 0; chunk < config.chunks; ++chunk)
    parts.push_back(pieces[static_cast<std::size_t>(chunk * config.stages + stage)]);
  return parts;
}

TensorSharing sharing_of(const PipelineConfig& config, const Mesh& mesh) {
  return {.place = {mesh.layout().tensor, mesh.place().tensor},
          .sequence_parallel = config.sequence_parallel && mesh.layout().tensor > 1};
}

PipelineNeeds measure_pipeline(const PipelineConfig& config, const Mesh& mesh) {
  const int stage = mesh.place().pipeline;
  const std::vector<ModelPart> parts = parts_of_stage(config, stage);
  const TensorSharing tensor = sharing_of(config, mesh);
  const Parameters parameters(Transformer::specs(config.model, config.numerics, parts, tensor),
                              config.numerics.compute, Parameters::Use::measuring, tensor.place);
  const int slots = peak_in_flight(training_schedule(shape_of(config, config.max_micro_batches), stage));
  const std::unique_ptr<sim::SimulatedDevice> device = sim::make_device();
  const Mesh simulated = Mesh::simulated(mesh.layout(), rank_of(mesh.layout(), mesh.place()));
  PipelineEngine engine(PipelineEngine::Measuring{}, config, simulated, parameters);
  const TensorGroup group = TensorGroup::simulated(tensor.place, static_cast<int>(config.model.kv_heads));
  NoData data(config);
  LossTotals totals;
  Verdict verdict;
  const StepContext step{.device = *device,
                         .profile = config.numerics,
                         .workspace = engine.workspace(),
                         .batch = {},
                         .training = true,
                         .verdict = &verdict,
                         .tensor = tensor.place.size > 1 ? &group : nullptr};
  engine.run(step, data, 1, totals);
  PipelineNeeds needs = engine.used();
  needs.slots = std::max(slots, 1);
  needs.training = device->total();
  return needs;
}

PipelineEngine::Slot::Slot(Arena stash_memory, Arena half_memory, const std::deque<Transformer>& chunks)
    : stash_arena(std::move(stash_memory)),
      half_arena(std::move(half_memory)),
      stash(stash_arena, most(chunks, &Transformer::stash_depth)),
      halves(half_arena, most(chunks, &Transformer::weight_halves)) {}

PipelineEngine::PipelineEngine(const PipelineConfig& config, const Mesh& mesh, Device& device,
                               const Parameters& parameters, const PipelineNeeds& needs)
    : config_(config),
      stage_(mesh.place().pipeline),
      activations_(mesh.pipeline()),
      gradients_(mesh.pipeline_gradients()),
      needs_(needs),
      message_arena_("pipeline messages", needs.message_bytes, device.memory()),
      workspace_("workspace", needs.workspace_bytes, device.memory()),
      leave_first_(mesh.world()) {
  make_chunks(parameters, sharing_of(config, mesh));
  for (int i = 0; i < needs.slots; ++i) {
    slots_.emplace_back(Arena("activations", needs.slot_bytes, device.memory()),
                        Arena("weight halves", needs.half_bytes, device.memory()), chunks_);
  }
  make_buffers();
}

PipelineEngine::PipelineEngine(Measuring, const PipelineConfig& config, const Mesh& mesh,
                               const Parameters& parameters)
    : config_(config),
      stage_(mesh.place().pipeline),
      activations_(mesh.pipeline()),
      gradients_(mesh.pipeline_gradients()),
      message_arena_(Arena::measuring("pipeline messages")),
      workspace_(Arena::measuring("workspace")),
      leave_first_(mesh.world()) {
  make_chunks(parameters, sharing_of(config, mesh));
  for (int i = 0; i < config.chunks; ++i)  // of one micro batch
    slots_.emplace_back(Arena::measuring("activations"), Arena::measuring("weight halves"), chunks_);
  make_buffers();
}

void PipelineEngine::make_chunks(const Parameters& parameters, const TensorSharing& tensor) {
  int before = 0;
  for (const ModelPart& part : parts_of_stage(config_, stage_)) {
    chunks_.emplace_back(config_.model, config_.numerics, parameters,
                         recompute_after(config_.recompute, before), tensor, part);
    before += chunks_.back().part().end_layer - part.first_layer;
  }
}

// A rank that is the whole pipeline hands nothing on: one gradient is all it needs.
void PipelineEngine::make_buffers() {
  const std::int64_t rows = chunks_.front().rows_handed_on(config_.sequences * config_.sequence);
  const auto allocate = [&](Buffer& buffer) {
    buffer.tensor = message_arena_.allocate(config_.numerics.compute, {rows, config_.model.hidden});
  };
  allocate(gradient_[0]);
  if (config_.stages == 1) {
    gradient_[1] = gradient_[0];
    return;
  }
  allocate(gradient_[1]);
  const bool hands_on = config_.chunks > 1 || stage_ < config_.stages - 1;
  if (hands_on) std::for_each(outgoing_.begin(), outgoing_.end(), allocate);
}

// A schedule that breaks this is our own mistake.
void PipelineEngine::require(bool kept, const Instruction& instruction, const char* otherwise) const {
  MEGALITH_CHECK(kept, "stage {}: {} of chunk {}, micro batch {}, {}", stage_, name_of(instruction.operation),
                 instruction.chunk, instruction.micro_batch, otherwise);
}

PipelineEngine::Slot* PipelineEngine::find_slot(const Instruction& instruction) {
  const auto found = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.taken && slot.micro_batch == instruction.micro_batch && slot.chunk == instruction.chunk;
  });
  return found == slots_.end() ? nullptr : &*found;
}

PipelineEngine::Slot& PipelineEngine::slot_of(const Instruction& instruction, PipelineClient& client) {
  if (Slot* taken = find_slot(instruction)) return *taken;
  const auto free = std::find_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return !slot.taken; });
  MEGALITH_CHECK(free != slots_.end(), "stage {}: all {} slots are taken at {} of micro batch {}", stage_,
                 slots_.size(), name_of(instruction.operation), instruction.micro_batch);
  // The first chunk of a rank has its micro batch in flight as long as any other has.
  const auto other = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& slot) {
    return slot.taken && slot.micro_batch == instruction.micro_batch;
  });
  free->batch = other != slots_.end()
                    ? other->batch
                    : client.fill(instruction.micro_batch, static_cast<int>(free - slots_.begin()));
  free->taken = true;
  free->chunk = instruction.chunk;
  free->micro_batch = instruction.micro_batch;
  most_taken_ = std::max(most_taken_, ++taken_);
  return *free;
}

void PipelineEngine::release(Slot& slot) {
  slot.stash.clear();
  slot.taken = false;
  slot.progress = Slot::Progress::nothing;
  slot.input = {};
  --taken_;
}

// The buffer whose turn it is, once what was sent from it has arrived.
PipelineEngine::Buffer& PipelineEngine::next_buffer(std::array<Buffer, 2>& buffers, int& turn,
                                                    Communicator& channel) {
  turn ^= 1;
  Buffer& buffer = buffers[static_cast<std::size_t>(turn)];
  if (buffer.sending) channel.wait(*buffer.sending);
  buffer.sending.reset();
  return buffer;
}

void PipelineEngine::send(Communicator& channel, Buffer& buffer, int to) {
  MEGALITH_CHECK(!buffer.sending, "stage {}: two messages from one buffer", stage_);
  buffer.sending = channel.send(buffer.tensor.bytes(), to);
}

void PipelineEngine::forward(const Instruction& instruction, const StepContext& step, PipelineClient& client,
                             bool training) {
  Slot& slot = slot_of(instruction, client);
  const Transformer& chunk = chunks_[static_cast<std::size_t>(instruction.chunk)];
  const bool last = last_piece(instruction.chunk);
  require(slot.progress == Slot::Progress::nothing, instruction, "once more");
  require(piece_of(instruction.chunk) == 0 || slot.input.data != nullptr, instruction, "without activations");
  slot.progress = Slot::Progress::forward;
  const Tensor result = last ? Tensor{} : next_buffer(outgoing_, outgoing_turn_, activations_).tensor;
  StepContext pass = step;
  pass.batch = slot.batch;
  chunk.forward(pass, slot.input, result, slot.stash);
  if (training) return;
  if (last) {
    chunk.score(pass, slot.stash, Tensor(step.log_probability, DType::f32, {slot.batch.tokens()}));
    client.scored(slot.batch);
  }
  release(slot);
}

void PipelineEngine::backward(const Instruction& instruction, const StepContext& step, PipelineClient& client,
                              LossTotals& totals) {
  Slot* const slot = find_slot(instruction);
  require(slot != nullptr, instruction, "which is not here");
  const bool whole = instruction.operation == Operation::backward;
  const bool rest = instruction.operation == Operation::backward_weight;
  require(slot->progress == (rest ? Slot::Progress::input_half : Slot::Progress::forward), instruction,
          "out of order");
  require(whole != (config_.schedule == ScheduleKind::zero_bubble), instruction,
          "halves where passes are whole, or the other way round");
  StepContext pass = step;
  pass.batch = slot->batch;
  slot->progress = Slot::Progress::input_half;
  if (rest) {
    slot->halves.run(pass);
    return release(*slot);
  }
  const bool last = last_piece(instruction.chunk);
  const Buffer& gradient = last ? next_buffer(gradient_, gradient_turn_, gradients_)
                                : gradient_[static_cast<std::size_t>(gradient_turn_)];  // received
  if (instruction.operation == Operation::backward_input) pass.deferred = &slot->halves;
  chunks_[static_cast<std::size_t>(instruction.chunk)].backward(pass, gradient.tensor, slot->stash, totals);
  if (last && step.log_probability != nullptr) client.scored(slot->batch);
  if (whole) release(*slot);
}

void PipelineEngine::obey(const std::vector<Instruction>& list, const StepContext& step,
                          PipelineClient& client, LossTotals* totals) {
  const int below = (stage_ + config_.stages - 1) % config_.stages;
  const int above = (stage_ + 1) % config_.stages;
  for (const Instruction& instruction : list) {
    switch (instruction.operation) {
      case Operation::receive_activation: {
        Slot& slot = slot_of(instruction, client);
        const Transformer& chunk = chunks_[static_cast<std::size_t>(instruction.chunk)];
        slot.input = slot.stash.allocate(config_.numerics.compute,
                                         {chunk.rows_handed_on(slot.batch.tokens()), config_.model.hidden});
        activations_.wait(activations_.receive(slot.input.bytes(), below));
        break;
      }
      case Operation::forward:
        forward(instruction, step, client, totals != nullptr);
        break;
      case Operation::send_activation:
        send(activations_, outgoing_[static_cast<std::size_t>(outgoing_turn_)], above);
        break;
      case Operation::receive_gradient: {
        const Buffer& buffer = next_buffer(gradient_, gradient_turn_, gradients_);
        gradients_.wait(gradients_.receive(buffer.tensor.bytes(), above));
        break;
      }
      case Operation::backward:
      case Operation::backward_input:
      case Operation::backward_weight:
        backward(instruction, step, client, *totals);
        break;
      case Operation::send_gradient:
        send(gradients_, gradient_[static_cast<std::size_t>(gradient_turn_)], below);
        break;
      case Operation::reduce:
        chunks_[static_cast<std::size_t>(instruction.chunk)].end_step(step);
        break;
    }
  }
  for (int i = 0; i < 2; ++i) {
    next_buffer(outgoing_, outgoing_turn_, activations_);
    next_buffer(gradient_, gradient_turn_, gradients_);
  }
  MEGALITH_CHECK(taken_ == 0, "stage {}: {} slots are still taken", stage_, taken_);
}

void PipelineEngine::run(const StepContext& step, PipelineClient& client, int micro_batches,
                         LossTotals& totals) {
  if (training_.micro_batches != micro_batches)
    training_ = {micro_batches, config_.training_list(shape_of(config_, micro_batches), stage_)};
  obey(training_.list, step, client, &totals);
}

void PipelineEngine::evaluate(const StepContext& step, PipelineClient& client, int micro_batches) {
  if (forward_.micro_batches != micro_batches)
    forward_ = {micro_batches, forward_schedule(shape_of(config_, micro_batches), stage_)};
  obey(forward_.list, step, client, nullptr);
}

PipelineNeeds PipelineEngine::used() const {
  PipelineNeeds used{
      .slots = most_taken_, .message_bytes = message_arena_.peak(), .workspace_bytes = workspace_.peak()};
  for (const Slot& slot : slots_) {
    used.slot_bytes = std::max(used.slot_bytes, slot.stash_arena.peak());
    used.half_bytes = std::max(used.half_bytes, slot.half_arena.peak());
  }
  used.training = needs_.training;
  return used;
}

}  // namespace megalith
