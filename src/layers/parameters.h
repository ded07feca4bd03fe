// Parameters: every trained tensor that a rank holds, laid out in arenas, with its gradient and what the
// optimizer keeps.
//
// A logical element has one index over the whole model (parameters in declaration order, row-major): initial
// weights are drawn and digests are summed by it, so neither knows about padding, shards or ranks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/arena.h"
#include "core/tensor.h"
#include "device/device.h"
#include "layers/parameter_pieces.h"

namespace megalith {

// Tensors are this rank's: padded local rows x local columns.
struct Parameter {
  ParameterSpec spec;
  Tensor master;                       // f32; empty where inference keeps the rounded alone
  Tensor working;                      // what layers read: compute dtype, or master itself
  Tensor gradient;                     // i64, empty when not training
  Tensor first_moment;                 // f32, empty when not training
  Tensor second_moment;                // f32, empty when not training
  std::vector<ParameterPiece> pieces;  // of the logical tensor, what this rank holds
  bool counted = true;  // in norms, digests and checkpoints by this rank, not by another that has it too

  // Of the whole model's tensor.
  [[nodiscard]] std::int64_t logical_count() const { return spec.rows * spec.columns; }
  // Logical index of a piece's first element.
  [[nodiscard]] std::uint64_t index_of(const ParameterPiece& piece) const {
    return spec.first_index + static_cast<std::uint64_t>(piece.row * spec.columns + piece.column);
  }
  // Whether any of these logical elements is held here.
  [[nodiscard]] bool holds(std::int64_t row, std::int64_t column, std::int64_t columns) const;
};

// Consecutive memory of one unit: its matrices, or its vectors. The same elements in every arena.
struct ParameterRange {
  int unit = 0;
  bool matrices = false;
  std::int64_t count = 0;  // elements, those between tensors included, which are zero and stay zero
  Tensor master, working, gradient, first_moment, second_moment;  // flat; empty as a Parameter's
};

class Parameters {
 public:
  // inference: what products use is kept once; matrices in bf16 have no master.
  // measuring: addresses without memory, for the simulated device.
  enum class Use : std::uint8_t { training, inference, measuring };

  // Lays the specs out, which lie unit by unit. Sizes of the arenas follow from the specs alone.
  Parameters(std::vector<ParameterSpec> specs, DType compute, Use use, TensorPlace place = {});

  [[nodiscard]] std::vector<Parameter>& all() { return parameters_; }
  [[nodiscard]] const std::vector<Parameter>& all() const { return parameters_; }
  [[nodiscard]] const std::vector<ParameterRange>& ranges() const { return ranges_; }
  // REQUIRES: a parameter of this name.
  [[nodiscard]] const Parameter& named(const std::string& name) const;
  [[nodiscard]] std::int64_t logical_count() const;  // of the whole tensors
  [[nodiscard]] std::size_t bytes() const;           // of all arenas
  [[nodiscard]] bool measuring() const { return use_ == Use::measuring; }
  [[nodiscard]] TensorPlace place() const { return place_; }

  // Draws every initial value by (seed, logical index): Box-Muller on Philox in own fp64 functions.
  // The same values for any number of threads.
  void initialise(std::uint64_t seed, int num_threads = 1);
  // Sets columns from `column` on of one logical row, as far as this rank holds them: of the master, or where
  // there is none of the working weights, rounded as refresh_working rounds.
  static void set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                      std::span<const float> values);
  // working = rounded master, for matrices in bf16 that have one.
  void refresh_working(Device& device);
  void zero_gradients(Device& device);
  // Sum of element digests of all masters that this rank counts; composes over any cut.
  [[nodiscard]] std::uint64_t digest(Device& device) const;

 private:
  Use use_;
  TensorPlace place_;
  std::vector<Parameter> parameters_;
  std::vector<ParameterRange> ranges_;
  Arena weights_;  // master and working
  Arena gradients_;
  Arena moments_;
};

}  // namespace megalith
