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
#include "layers/parameter_memory.h"

namespace megalith {

struct Parameter {
  ParameterSpec spec;
  // What layers see: this tensor rank's padded rows x columns.
  Tensor working;   // compute dtype, or f32
  Tensor gradient;  // i64 or f32, empty when not training; under ZeRO 2 there while it is added to
  // What this rank owns: the same elements, or under ZeRO those of its shard, in a row; empty where it has
  // none.
  Tensor master;                       // f32; empty where inference keeps the rounded alone
  Tensor rounded;                      // as working: the rounded master, or master itself
  Tensor reduced;                      // as gradient, summed over data ranks
  Tensor first_moment, second_moment;  // f32, empty when not training
  std::vector<ParameterPiece> pieces;  // of the logical tensor, where it stands in what this rank owns
  bool counted = true;  // in norms, digests and checkpoints by this rank, not by another that has it too

  // Of the whole model's tensor.
  [[nodiscard]] std::int64_t logical_count() const { return spec.rows * spec.columns; }
  // Logical index of a piece's first element.
  [[nodiscard]] std::uint64_t index_of(const ParameterPiece& piece) const {
    return spec.first_index + static_cast<std::uint64_t>(piece.row * spec.columns + piece.column);
  }
  // Whether any of these logical elements is owned here.
  [[nodiscard]] bool holds(std::int64_t row, std::int64_t column, std::int64_t columns) const;
};

// Every NaN becomes the one that rounding makes of it.
void make_nans_equal(std::span<bf16> values);

// Logical rows from `first` on of a parameter as a parameter of its own, whose memory is `rows`, all columns
// of them: what Parameters::set_row writes to.
Parameter rows_of(const Parameter& parameter, std::int64_t first, const Tensor& rows);

class Parameters {
 public:
  // inference: what products use is kept once; matrices in bf16 have no master.
  // measuring: addresses without memory, for the simulated device.
  enum class Use : std::uint8_t { training, inference, measuring };

  // Lays the specs out, which stand unit by unit. Sizes of the arenas follow from the arguments alone.
  Parameters(std::vector<ParameterSpec> specs, const ParameterTypes& types, Use use, TensorPlace place = {},
             ShardPlace shard = {});

  [[nodiscard]] std::vector<Parameter>& all() { return parameters_; }
  [[nodiscard]] const std::vector<Parameter>& all() const { return parameters_; }
  [[nodiscard]] const std::vector<ParameterRange>& ranges() const { return memory_.ranges; }
  // REQUIRES: a parameter of this name.
  [[nodiscard]] const Parameter& named(const std::string& name) const;
  [[nodiscard]] std::int64_t logical_count() const;  // of the whole tensors
  [[nodiscard]] std::size_t bytes() const;           // of all arenas
  [[nodiscard]] bool measuring() const { return use_ == Use::measuring; }
  [[nodiscard]] TensorPlace place() const { return plan_.tensor; }
  [[nodiscard]] ShardPlace shard() const { return plan_.shard; }

  // Draws every initial value by (seed, logical index): Box-Muller on Philox in own fp64 functions.
  // The same values for any number of threads.
  void initialise(std::uint64_t seed, int num_threads = 1);
  // Sets columns from `column` on of one logical row, as far as this rank holds them: of the master, or where
  // there is none of the working weights, rounded as refresh_working rounds.
  static void set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                      std::span<const float> values);
  // Of values that were rounded before; NaN becomes the one that rounding makes of it.
  static void set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                      std::span<const bf16> values);
  // rounded = rounded master, for matrices in bf16 that have one. Of shards the whole is to be gathered then.
  void refresh_working(Device& device);
  void zero_gradients(Device& device);
  // Sum of element digests of all masters that this rank counts; composes over any cut.
  [[nodiscard]] std::uint64_t digest(Device& device) const;

 private:
  Use use_;
  MemoryPlan plan_;
  std::vector<Parameter> parameters_;
  Arena weights_;
  Arena gradients_;
  Arena moments_;
  ParameterMemory memory_;
};

}  // namespace megalith
