#include "layers/linear.h"

#include <algorithm>
#include <cstring>

#include "layers/tensor_parallel.h"

namespace megalith {
namespace {

// A weight's rows as they would stand in its memory, rows of zeros at the end included.
class PaddedRows final : public WeightRowSource {
 public:
  PaddedRows(const Parameter& weight, const WeightSource* source) : weight_(weight), source_(source) {}
  void read(std::int64_t first, const Tensor& to) const override {
    const std::int64_t stored = stored_rows(first, to.rows());
    if (stored > 0) source_->read_rows(weight_, first, to.row_slice(0, stored));
    if (stored == to.rows()) return;
    const Tensor padding = to.row_slice(stored, to.rows() - stored);
    std::memset(padding.data, 0, padding.size_in_bytes());
  }
  void done(std::int64_t first, std::int64_t count) const override {
    if (const std::int64_t stored = stored_rows(first, count); stored > 0)
      source_->rows_done(weight_, first, stored);
  }

 private:
  [[nodiscard]] std::int64_t stored_rows(std::int64_t first, std::int64_t count) const {
    return std::clamp<std::int64_t>(weight_.spec.rows - first, 0, count);
  }
  const Parameter& weight_;
  const WeightSource* source_;
};

}  // namespace

void Linear::append_specs(const LinearShape& shape, std::vector<ParameterSpec>& specs) {
  specs.push_back({.name = shape.name + ".weight",
                   .rows = shape.outputs,
                   .columns = shape.inputs,
                   .padded_rows = shape.outputs,
                   .initial = Initial::normal,
                   .standard_deviation = shape.deviation,
                   .decay = true,
                   .is_matrix = true,
                   .cut = shape.cut,
                   .members = shape.members});
  if (!shape.bias) return;
  const bool cut = shape.cut == megalith::Cut::rows;
  specs.push_back({.name = shape.name + ".bias",
                   .columns = shape.outputs,
                   .cut = cut ? megalith::Cut::columns : megalith::Cut::none,
                   .members = cut ? shape.members : std::array<std::int64_t, 3>{}});
}

int Linear::shares_of(const Parameter& weight) {
  if (weight.spec.cut == megalith::Cut::none) return 1;
  return static_cast<int>(weight.spec.cut == megalith::Cut::rows
                              ? weight.spec.padded_rows / weight.working.rows()
                              : weight.spec.columns / weight.working.columns());
}

void Linear::forward(const StepContext& step, const Tensor& x, const Tensor& y) const {
  step.device.matmul().forward({.x = x,
                                .w = weight_.working,
                                .bias = cut_ == Cut::row ? Tensor{} : bias(),
                                .y = y,
                                .order = forward_order(step.profile),
                                .packed = packed_,
                                .packed_as = packed_as_});
}

std::size_t Linear::packed_bytes(Device& device, const NumericsProfile& profile, WeightFormat format) const {
  return device.matmul().packed_bytes(weight_.working, forward_order(profile), format);
}

void Linear::pack(Device& device, const NumericsProfile& profile, WeightFormat format, Arena& arena,
                  const WeightSource* source) {
  const std::size_t bytes = packed_bytes(device, profile, format);
  if (bytes == 0) return;
  const PaddedRows rows(weight_, source);
  void* packed = arena.allocate_bytes(bytes);
  device.matmul().pack({.w = weight_.working,
                        .order = forward_order(profile),
                        .format = format,
                        .packed = packed,
                        .rows = source == nullptr ? nullptr : &rows});
  packed_ = packed;
  packed_as_ = format;
}

// Over tensor ranks the tokens of x travel while dx is computed, and the shares of dx while dw is.
void Linear::backward(const StepContext& step, const Tensor& dy, const Tensor& x, const Tensor& dx) const {
  if (step.tensor == nullptr) {
    weight_gradient(step, dy, x);
    return gradient_of_inputs(step, dy, dx, 0);
  }
  const ArenaScope scope(step.workspace);
  const ComingTokens tokens = begin_all_tokens(step, x, step.weight_half_memory());
  const Tensor share = step.workspace.allocate(DType::f32, {dy.rows(), dx.columns()});
  input_gradient_share(step, dy, share);
  const RowParts shares = begin_exchange_rows(step, share);
  weight_gradient(step, dy, wait_for_tokens(step, tokens));
  sum_parts(step, shares, dx);
}

void Linear::gradient_of_inputs(const StepContext& step, const Tensor& dy, const Tensor& dx,
                                std::int64_t first_input) const {
  step.device.matmul().input_gradient({.dy = dy,
                                       .w = weight_.working.column_slice(first_input, dx.columns()),
                                       .dx = dx,
                                       .order = cut_ == Cut::column ? tree_order(step.profile) : SumOrder{}});
}

void Linear::weight_gradient(const StepContext& step, const Tensor& dy, const Tensor& x) const {
  if (step.deferred != nullptr) return step.deferred->add(*this, dy, x);
  step.device.matmul().weight_gradient({.dy = dy,
                                        .x = x,
                                        .dw = weight_.gradient,
                                        .grain = step.profile.grain,
                                        .shift = step.gradient_shift,
                                        .verdict = step.verdict});
  if (bias_ == nullptr) return;
  step.device.matmul().bias_gradient(
      {.dy = dy, .db = bias_->gradient.flattened(), .shift = step.gradient_shift, .verdict = step.verdict});
}

}  // namespace megalith
