// What of a rank's gradients is summed in f32 over other ranks (numerics.mode "fast"), and its memory.
#pragma once

#include <optional>

#include "comm/mesh.h"
#include "layers/parameters.h"
#include "optim/float_sums.h"
#include "train/train_config.h"

namespace megalith {

class FloatExchange {
 public:
  // All outlive it.
  FloatExchange(const TrainConfig& config, const Parameters& parameters, const Mesh& mesh, Device& device,
                Verdict& verdict);
  static std::size_t bytes(const TrainConfig& config, const Parameters& parameters, const Mesh& mesh);

  // Null where nothing in f32 is summed. The ends of a pipeline share a tied token table.
  [[nodiscard]] FloatSums* over_data() { return data_ ? &*data_ : nullptr; }
  [[nodiscard]] FloatSums* over_ends() { return ends_ ? &*ends_ : nullptr; }
  [[nodiscard]] std::size_t bytes_used() const { return arena_.peak(); }

 private:
  Arena arena_;
  std::optional<FloatSums> data_, ends_;
};

}  // namespace megalith
