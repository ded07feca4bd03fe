#include "layers/head.h"

#include <algorithm>

#include "layers/embedding.h"
#include "layers/tensor_parallel.h"

namespace megalith {
namespace {

constexpr const char* kNorm = "head.norm";
constexpr const char* kOutput = "head.output.weight";
constexpr int kHeadLayer = -2;

}  // namespace

std::vector<ParameterSpec> Head::specs(const HeadShape& shape) {
  std::vector<ParameterSpec> list;
  NormLayer::append_specs(shape.norm, kNorm, list);
  if (!shape.tied) {
    list.push_back({.name = kOutput,
                    .rows = shape.vocabulary,
                    .columns = shape.hidden,
                    .padded_rows = shape.padded_vocabulary,
                    .initial = Initial::normal,
                    .standard_deviation = shape.init_deviation,
                    .decay = true,
                    .is_matrix = true,
                    .cut = Cut::rows});
  }
  return list;
}

Head::Head(const HeadShape& shape, const Parameters& parameters)
    : shape_(shape),
      norm_(shape.norm, kNorm, parameters),
      output_(parameters.named(shape.tied ? Embedding::kTokenTable : kOutput), nullptr, Linear::Cut::column) {
}

// Whole grains, at least 256 tokens so that the pass over the weight gradient is worth it.
std::int64_t Head::chunk_tokens(const StepContext& step) const {
  constexpr std::int64_t kLeastTokens = 256;
  const std::int64_t grain = step.profile.grain;
  return (std::max(kLeastTokens, grain) + grain - 1) / grain * grain;
}

CrossEntropyShape Head::loss_shape(const StepContext& step) const {
  return {.vocabulary = shape_.vocabulary,
          .leaves = step.profile.tree / shape_.tensor.size,
          .vocab_block = step.profile.vocab_block,
          .softcap = shape_.softcap,
          .z_loss = step.z_loss};
}

void Head::project(const StepContext& step, const Tensor& normed, const Tensor& logits) const {
  output_.forward(step, normed, logits);
  if (shape_.softcap != 0) step.device.loss().cap({.logits = logits, .cap = shape_.softcap});
}

void Head::norm_and_project(const StepContext& step, const Tensor& x, const Tensor& logits) const {
  const ArenaScope scope(step.workspace);
  const Tensor normed = step.workspace.allocate(x.dtype, {x.rows(), shape_.hidden});
  norm_.forward(step, x, normed);
  project(step, normed, logits);
}

void Head::logits(const StepContext& step, const Tensor& x, const Tensor& logits) const {
  if (step.tensor == nullptr) return norm_and_project(step, x, logits);
  const ArenaScope scope(step.workspace);
  const Tensor own = step.workspace.allocate(DType::f32, {x.rows(), own_columns()});
  norm_and_project(step, x, own);
  gather_columns(step, step.tensor->ranks(), own, logits);
}

void Head::lose(const StepContext& step, const Tensor& logits, const std::int32_t* targets,
                const Tensor& log_probability, const Tensor& log_sum_exp) const {
  LossOps& loss = step.device.loss();
  if (step.tensor == nullptr) {
    loss.forward({.shape = loss_shape(step),
                  .logits = logits,
                  .targets = targets,
                  .log_probability = log_probability,
                  .log_sum_exp = log_sum_exp});
    return;
  }
  const ArenaScope scope(step.workspace);
  const Tensor partial = step.workspace.allocate(DType::f32, {logits.rows(), 3});
  loss.partial({.shape = loss_shape(step),
                .first_column = first_column(),
                .logits = logits,
                .targets = targets,
                .partial = partial});
  loss.join({.share_columns = own_columns(),
             .partials = gather_parts(step, partial),
             .targets = targets,
             .log_probability = log_probability,
             .log_sum_exp = log_sum_exp});
}

void Head::evaluate(const StepContext& step, const Tensor& held, const Tensor& log_probability) const {
  const ArenaScope outer(step.workspace);
  const Tensor x = all_tokens(step, held, step.workspace);
  const std::int64_t chunk = chunk_tokens(step);
  for (std::int64_t begin = 0; begin < x.rows(); begin += chunk) {
    const ArenaScope scope(step.workspace);
    const std::int64_t rows = std::min(chunk, x.rows() - begin);
    const Tensor z = step.workspace.allocate(DType::f32, {rows, own_columns()});
    norm_and_project(step, x.row_slice(begin, rows), z);
    lose(step, z, step.batch.targets + begin, Tensor(log_probability.as<float>() + begin, DType::f32, {rows}),
         step.workspace.allocate(DType::f32, {rows, 2}));
  }
}

void Head::chunk_forward_backward(const StepContext& step, const Tensor& input, std::int64_t begin,
                                  const Tensor& dinput, LossTotals& totals) const {
  const ArenaScope scope(step.workspace);
  const std::int64_t rows = input.rows();
  const Tensor z = step.workspace.allocate(DType::f32, {rows, own_columns()});
  const Tensor log_probability = step.log_probability == nullptr
                                     ? step.workspace.allocate(DType::f32, {rows})
                                     : Tensor(step.log_probability + begin, DType::f32, {rows});
  const Tensor log_sum_exp = step.workspace.allocate(DType::f32, {rows, 2});
  const Tensor dlogits = step.workspace.allocate(input.dtype, {rows, own_columns()});
  const std::int32_t* targets = step.batch.targets + begin;
  const std::uint8_t* mask = step.batch.loss_mask + begin;
  project(step, input, z);
  step.observe(kHeadLayer, "output", Direction::forward, z);
  lose(step, z, targets, log_probability, log_sum_exp);
  LossOps& loss = step.device.loss();
  loss.sum({.log_probability = log_probability,
            .loss_mask = mask,
            .sum = &totals.loss,
            .count = &totals.tokens,
            .verdict = step.verdict});
  loss.backward(CrossEntropyBackward{.shape = loss_shape(step),
                                     .first_column = first_column(),
                                     .logits = z,
                                     .targets = targets,
                                     .loss_mask = mask,
                                     .log_sum_exp = log_sum_exp,
                                     .dlogits = dlogits});
  step.observe(kHeadLayer, "loss", Direction::backward, dlogits);
  output_.weight_gradient(step, dlogits, input);
  output_.input_gradient_share(step, dlogits, dinput);
  step.observe(kHeadLayer, "output", Direction::backward, dinput);
}

void Head::forward_backward(const StepContext& whole_step, const Tensor& x, const Tensor& dx, Stash& stash,
                            LossTotals& totals) const {
  StepContext step = whole_step;
  step.deferred = nullptr;  // logits exist for one chunk at a time: their weight half cannot wait
  const std::int64_t tokens = step.batch.tokens();
  const ArenaScope scope(step.workspace);
  const Stash::Elsewhere here(stash, step.workspace);
  const Tensor held = step.workspace.allocate(x.dtype, {x.rows(), shape_.hidden});
  norm_.forward(step, x, held, stash);
  step.observe(kHeadLayer, "norm", Direction::forward, held);
  const Tensor dnormed = step.workspace.allocate(x.dtype, {x.rows(), shape_.hidden});
  {
    const ArenaScope inner(step.workspace);
    const Tensor normed = all_tokens(step, held, step.workspace);
    const Tensor share =
        step.tensor == nullptr ? dnormed : step.workspace.allocate(DType::f32, {tokens, shape_.hidden});
    const std::int64_t chunk = chunk_tokens(step);
    for (std::int64_t begin = 0; begin < tokens; begin += chunk) {
      const std::int64_t rows = std::min(chunk, tokens - begin);
      chunk_forward_backward(step, normed.row_slice(begin, rows), begin, share.row_slice(begin, rows),
                             totals);
    }
    if (step.tensor != nullptr) sum_over_ranks(step, share, dnormed);
  }
  norm_.backward(step, dnormed, Tensor{}, dx, stash);
  step.observe(kHeadLayer, "norm", Direction::backward, dx);
}

}  // namespace megalith
