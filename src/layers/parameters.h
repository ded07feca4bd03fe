// Parameters: every trained tensor of a model, laid out in arenas, with its gradient and what the optimizer
// keeps.
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

namespace megalith {

enum class Initial : std::uint8_t { zero, one, normal };

struct ParameterSpec {
  std::string name;       // "layers.3.attention.qkv.weight"
  std::int64_t rows = 1;  // logical; 1 for vectors
  std::int64_t columns = 0;
  std::int64_t padded_rows = 1;  // rows in memory: padding rows are zero and stay zero
  Initial initial = Initial::zero;
  double standard_deviation = 0;  // of Initial::normal
  bool decay = false;             // takes weight decay
  bool is_matrix = false;         // used by products in the compute dtype; gains and biases are used in f32
};

struct Parameter {
  ParameterSpec spec;
  std::uint64_t first_index = 0;  // logical index of the first element
  Tensor master;                  // f32 [padded_rows, columns]; empty where inference keeps the rounded alone
  Tensor working;                 // compute dtype, or master itself
  Tensor gradient;                // i64, empty when not training
  Tensor first_moment;            // f32, empty when not training
  Tensor second_moment;           // f32, empty when not training

  [[nodiscard]] std::int64_t logical_count() const { return spec.rows * spec.columns; }
};

class Parameters {
 public:
  // inference: what products use is kept once; matrices in bf16 have no master.
  // measuring: addresses without memory, for the simulated device.
  enum class Use : std::uint8_t { training, inference, measuring };

  // Lays the specs out. Sizes of the arenas follow from the specs alone.
  Parameters(std::vector<ParameterSpec> specs, DType compute, Use use);

  [[nodiscard]] std::vector<Parameter>& all() { return parameters_; }
  [[nodiscard]] const std::vector<Parameter>& all() const { return parameters_; }
  // REQUIRES: a parameter of this name.
  [[nodiscard]] const Parameter& named(const std::string& name) const;
  [[nodiscard]] std::int64_t logical_count() const;
  [[nodiscard]] std::size_t bytes() const;  // of all arenas
  [[nodiscard]] bool measuring() const { return use_ == Use::measuring; }

  // Draws every initial value by (seed, logical index): Box-Muller on Philox in own fp64 functions.
  // The same values for any number of threads.
  void initialise(std::uint64_t seed, int num_threads = 1);
  // Sets columns from `column` on of one row: of the master, or where there is none of the working weights,
  // rounded as refresh_working rounds.
  static void set_row(const Parameter& parameter, std::int64_t row, std::int64_t column,
                      std::span<const float> values);
  // working = rounded master, for matrices in bf16 that have one.
  void refresh_working(Device& device);
  void zero_gradients(Device& device);
  // Sum of element digests of all masters; composes over any cut.
  [[nodiscard]] std::uint64_t digest(Device& device) const;

 private:
  Use use_;
  std::vector<Parameter> parameters_;
  Arena weights_;  // master and working
  Arena gradients_;
  Arena moments_;
};

}  // namespace megalith
