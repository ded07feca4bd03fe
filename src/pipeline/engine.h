// The pipeline engine: one rank's part of every step. It obeys the schedule's list of instructions
// (schedule.h) and decides nothing itself.
//
// All memory is taken at the beginning: a slot for each micro batch that the schedule lets wait on this rank,
// a workspace, and buffers for messages. A single rank is a pipeline of one stage: nothing is sent or copied.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "comm/leave_first.h"
#include "comm/mesh.h"
#include "model/transformer.h"
#include "pipeline/schedule.h"

namespace megalith {

struct PipelineConfig {
  ModelConfig model;
  NumericsProfile numerics;
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  int stages = 1;
  int chunks = 1;                    // per rank
  std::vector<std::int64_t> layers;  // of every piece in the model's order; of one stage: empty is all
  RecomputePlan recompute;           // of the layers of a rank
  std::int64_t sequences = 1;        // of a micro batch
  std::int64_t sequence = 1;         // tokens
  int max_micro_batches = 1;         // of any step on any data rank
  bool sequence_parallel = false;    // over the mesh's tensor ranks
  MakeSchedule training_list = training_schedule;  // what the engine obeys
};
// Of a step of so many micro batches.
ScheduleShape shape_of(const PipelineConfig& config, int micro_batches);

// What the chunks of a stage hold of the model.
std::vector<ModelPart> parts_of_stage(const PipelineConfig& config, int stage);

// How this rank shares the stage's matrices.
TensorSharing sharing_of(const PipelineConfig& config, const Mesh& mesh);

// Memory of one rank in bytes, measured by running its list on the simulated device.
struct PipelineNeeds {
  int slots = 0;               // micro batches in flight, per chunk counted
  std::size_t slot_bytes = 0;  // activations of one
  std::size_t half_bytes = 0;  // what weight halves of one wait with; 0 where they do not wait
  std::size_t message_bytes = 0;
  std::size_t workspace_bytes = 0;
  Cost training;  // forward and backward of one micro batch on this rank

  [[nodiscard]] std::size_t bytes() const {
    return static_cast<std::size_t>(slots) * (slot_bytes + half_bytes) + message_bytes + workspace_bytes;
  }
};
// `mesh` may be a simulated one.
PipelineNeeds measure_pipeline(const PipelineConfig& config, const Mesh& mesh);

// Where micro batches come from and what becomes of them.
class PipelineClient {
 public:
  virtual ~PipelineClient() = default;
  // Micro batch `index` of this rank's share of the step, in memory that stays until the same buffer is
  // filled again. Every rank of a pipeline is asked for the same ones, buffers count from 0 to needs().slots.
  virtual const MicroBatch& fill(std::int64_t index, int buffer) = 0;
  // On the last stage, while the log-probabilities of the micro batch stand where StepContext says: after its
  // loss in training, where it says so, and after its evaluation.
  virtual void scored(const MicroBatch& /*batch*/) {}
};

class PipelineEngine {
 public:
  // Everything outlives the engine, which an exception takes out of what all these have under way before any
  // of their memory goes. `parameters` are of parts_of_stage(). Needs: measured for this rank.
  PipelineEngine(const PipelineConfig& config, const Mesh& mesh, Device& device, const Parameters& parameters,
                 const PipelineNeeds& needs);

  // Forward and backward of `micro_batches` micro batches: adds to the gradients and, on the last stage, to
  // the loss totals. `step` says all but the batch; its workspace is workspace().
  void run(const StepContext& step, PipelineClient& client, int micro_batches, LossTotals& totals);
  // Forward alone: on the last stage, log-probabilities of each micro batch go where `step` says and the
  // client is told.
  void evaluate(const StepContext& step, PipelineClient& client, int micro_batches);

  [[nodiscard]] Arena& workspace() { return workspace_; }
  [[nodiscard]] const PipelineNeeds& needs() const { return needs_; }
  [[nodiscard]] const std::deque<Transformer>& chunks() const { return chunks_; }
  // Largest use so far: equal to the needs once a step of max_micro_batches was run.
  [[nodiscard]] PipelineNeeds used() const;

 private:
  friend PipelineNeeds measure_pipeline(const PipelineConfig& config, const Mesh& mesh);
  struct Measuring {};
  PipelineEngine(Measuring, const PipelineConfig& config, const Mesh& mesh, const Parameters& parameters);

  // A micro batch in flight through a chunk.
  struct Slot {
    Slot(Arena stash_memory, Arena half_memory, const std::deque<Transformer>& chunks);
    Arena stash_arena, half_arena;
    Stash stash;
    DeferredWeights halves;
    bool taken = false;
    enum class Progress : std::uint8_t { nothing, forward, input_half } progress = Progress::nothing;
    int chunk = 0, micro_batch = 0;
    MicroBatch batch;
    Tensor input;  // received
  };
  // Memory of a message that is being filled, sent or received.
  struct Buffer {
    Tensor tensor;
    std::optional<Communicator::Request> sending;
  };

  void make_chunks(const Parameters& parameters, const TensorSharing& tensor);
  void make_buffers();
  void obey(const std::vector<Instruction>& list, const StepContext& step, PipelineClient& client,
            LossTotals* totals);
  void forward(const Instruction& instruction, const StepContext& step, PipelineClient& client,
               bool training);
  void backward(const Instruction& instruction, const StepContext& step, PipelineClient& client,
                LossTotals& totals);
  void require(bool kept, const Instruction& instruction, const char* otherwise) const;
  // The slot that the instruction's chunk and micro batch have; null: none.
  Slot* find_slot(const Instruction& instruction);
  // Theirs, or a free one from now on.
  Slot& slot_of(const Instruction& instruction, PipelineClient& client);
  void release(Slot& slot);
  Buffer& next_buffer(std::array<Buffer, 2>& buffers, int& turn, Communicator& channel);
  void send(Communicator& channel, Buffer& buffer, int to);
  [[nodiscard]] int piece_of(int chunk) const { return chunk * config_.stages + stage_; }
  [[nodiscard]] bool last_piece(int chunk) const {
    return piece_of(chunk) == config_.stages * config_.chunks - 1;
  }

  PipelineConfig config_;
  int stage_;
  Communicator& activations_;  // upwards; from the last stage to the first between chunks
  Communicator& gradients_;    // downwards
  PipelineNeeds needs_;
  std::deque<Transformer> chunks_;
  std::deque<Slot> slots_;
  Arena message_arena_;
  Arena workspace_;
  std::array<Buffer, 2> outgoing_;  // activations; one is filled while the other is sent
  std::array<Buffer, 2> gradient_;  // received, worked on in place and sent on
  int outgoing_turn_ = 0, gradient_turn_ = 0;
  // Lists of the last numbers of micro batches, so that a step makes none.
  struct Listed {
    int micro_batches = -1;
    std::vector<Instruction> list;
  };
  Listed training_, forward_;
  int taken_ = 0, most_taken_ = 0;
  LeaveFirst leave_first_;
};

}  // namespace megalith
