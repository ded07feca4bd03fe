// What every layer needs besides its input: the device, the batch's coordinates, memory and the rules of the
// step.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/arena.h"
#include "core/numerics_profile.h"
#include "device/device.h"
#include "layers/deferred_weights.h"
#include "layers/tensor_group.h"
#include "layers/unit_gate.h"

namespace megalith {

// One micro batch: B sequences of S tokens, laid out [sequence][position]. All arrays outlive the step.
struct MicroBatch {
  std::int64_t sequences = 0;                    // B
  std::int64_t sequence = 0;                     // S
  const std::int32_t* ids = nullptr;             // [B*S]
  const std::int32_t* targets = nullptr;         // [B*S]
  const std::uint8_t* loss_mask = nullptr;       // [B*S], 1 where the target counts
  const std::int32_t* document_start = nullptr;  // [B*S], position of the token's document's first token
  const std::int32_t* positions = nullptr;       // [B*S], from the document's first token
  const std::int64_t* samples = nullptr;         // [B], sample index, the dropout's coordinate

  [[nodiscard]] std::int64_t tokens() const { return sequences * sequence; }
};

enum class Direction : std::uint8_t { forward, backward };

// Sees every tensor a layer makes; only present when a bad step is being explained.
class TensorObserver {
 public:
  virtual ~TensorObserver() = default;
  // layer: 0-based block, -1 the embedding, -2 the head. `operation` is a literal.
  virtual void observe(int layer, std::string_view operation, Direction direction, const Tensor& tensor) = 0;
};

struct StepContext {
  Device& device;
  const NumericsProfile& profile;
  Arena& workspace;  // memory of one call; given back at its end
  MicroBatch batch;
  std::uint64_t seed = 0;
  bool training = false;       // dropout acts
  float z_loss = 0;            // of the cross entropy (device/loss.h)
  int gradient_shift = 0;      // binary places of gradients
  Verdict* verdict = nullptr;  // of the step
  TensorObserver* observer = nullptr;
  float* log_probability =
      nullptr;                // f32 [tokens]: where training leaves those of all targets; null: nowhere
  UnitGate* units = nullptr;  // told what is used; null: nobody wants to know
  const TensorGroup* tensor = nullptr;  // ranks that share each matrix; null: one rank has them whole
  DeferredWeights* deferred = nullptr;  // where backward leaves its weight halves; null: done at once

  void observe(int layer, std::string_view operation, Direction direction, const Tensor& made) const {
    if (observer != nullptr) [[unlikely]]
      observer->observe(layer, operation, direction, made);
  }
  // Memory of what a weight half reads: of this call or, where weight halves wait, until they are done.
  [[nodiscard]] Arena& weight_half_memory() const {
    return deferred == nullptr ? workspace : deferred->arena();
  }
  // first_token: of the micro batch, in a tensor that has a stretch of its tokens.
  [[nodiscard]] Dropout dropout(double rate, std::uint32_t site, std::int64_t first_token = 0) const {
    return {.threshold = training ? dropout_threshold(rate) : 0,
            .seed = seed,
            .site = site,
            .samples = batch.samples,
            .sequence = batch.sequence,
            .first_token = first_token};
  }
};

}  // namespace megalith
