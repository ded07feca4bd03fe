// y = x W^T + b, and its three gradients. How the product would be cut by tensor parallelism fixes where its
// sums are cut always (docs/numerics.md, P3 and P4).
#pragma once

#include <array>
#include <string>
#include <vector>

#include "layers/parameters.h"
#include "layers/step_context.h"
#include "layers/weight_source.h"

namespace megalith {

struct LinearShape {
  std::string name;
  std::int64_t outputs = 0, inputs = 0;
  bool bias = true;
  double deviation = 0.02;                // of the initial weights
  Cut cut = Cut::rows;                    // of the weight [outputs, inputs]; a bias is cut with the outputs
  std::array<std::int64_t, 3> members{};  // of the dimension that is cut
};

// M tokens of the micro batch, N outputs, K inputs.
class Linear {
 public:
  // column: the outputs are cut over ranks, so the input gradient is a tree over N. row: the inputs are cut,
  // so the forward product is a tree over K and its sum travels in f32 (bias is added later). `members` names
  // the fused parts of the dimension that is cut, as long as this rank has them.
  enum class Cut : std::uint8_t { column, row };

  Linear(const Parameter& weight, const Parameter* bias, Cut cut, std::array<std::int64_t, 3> members = {})
      : weight_(weight), bias_(bias), cut_(cut), members_(members), shares_(shares_of(weight)) {}
  // "NAME.weight" and, where there is one, "NAME.bias".
  Linear(const Parameters& parameters, const std::string& name, bool bias, Cut cut,
         std::array<std::int64_t, 3> members = {})
      : Linear(parameters.named(name + ".weight"), bias ? &parameters.named(name + ".bias") : nullptr, cut,
               members) {}
  static void append_specs(const LinearShape& shape, std::vector<ParameterSpec>& specs);

  // Column: y in the compute dtype, bias added. Row: y in f32, bias left to the caller; with tensor ranks,
  // this rank's share of the sum.
  void forward(const StepContext& step, const Tensor& x, const Tensor& y) const;
  // Row: dx in the compute dtype or f32, of inputs first_input .. first_input + dx.columns().
  void input_gradient(const StepContext& step, const Tensor& dy, const Tensor& dx,
                      std::int64_t first_input = 0) const {
    gradient_of_inputs(step, dy, dx, first_input);
  }
  // Column: both gradients. x has all tokens or this rank's, and so has dx, in the compute dtype.
  void backward(const StepContext& step, const Tensor& dy, const Tensor& x, const Tensor& dx) const;
  // Column: dx or, with tensor ranks, this rank's share of its sum, f32.
  void input_gradient_share(const StepContext& step, const Tensor& dy, const Tensor& share) const {
    gradient_of_inputs(step, dy, share, 0);
  }
  // Adds to the fixed-point gradients of weight and bias; where weight halves wait, later, and until then dy
  // and x must stay: they live in the stash or in weight_half_memory().
  void weight_gradient(const StepContext& step, const Tensor& dy, const Tensor& x) const;

  // Puts the weight where the device's products read it best, into packed_bytes() of the arena: for
  // generation. It comes from the parameter's memory or, where there is a source, from there alone. Only
  // forward() works afterwards.
  [[nodiscard]] std::size_t packed_bytes(Device& device, const NumericsProfile& profile,
                                         WeightFormat format) const;
  void pack(Device& device, const NumericsProfile& profile, WeightFormat format, Arena& arena,
            const WeightSource* source);
  [[nodiscard]] const void* packed() const { return packed_; }  // null: not packed
  [[nodiscard]] const Parameter& weight() const { return weight_; }

  [[nodiscard]] Tensor bias() const { return bias_ == nullptr ? Tensor{} : bias_->working; }

 private:
  const Parameter& weight_;
  const Parameter* bias_;
  Cut cut_;
  std::array<std::int64_t, 3> members_;
  int shares_;  // ranks that have a part of the weight each
  const void* packed_ = nullptr;
  WeightFormat packed_as_ = WeightFormat::as_stored;

  [[nodiscard]] SumOrder forward_order(const NumericsProfile& profile) const {
    return cut_ == Cut::row ? tree_order(profile) : SumOrder{};
  }
  // The leaves of the whole sum that are this rank's.
  [[nodiscard]] SumOrder tree_order(const NumericsProfile& profile) const {
    return {profile.leaves(shares_), members_};
  }
  static int shares_of(const Parameter& weight);
  void gradient_of_inputs(const StepContext& step, const Tensor& dy, const Tensor& dx,
                          std::int64_t first_input) const;
};

}  // namespace megalith
