#include "device/elementwise.h"

#include "device/loss.h"
#include "device/optimizer.h"
#include "device/shards.h"

namespace megalith {
namespace {

double bytes_of(const Tensor& tensor) {
  if (tensor.empty()) return 0;
  return static_cast<double>(tensor.count()) * static_cast<double>(size_of(tensor.dtype));
}
double count_of(const Tensor& tensor) {
  return static_cast<double>(tensor.count());
}

}  // namespace

Cost cost_of(const NormForward& args) {
  return {.flops = 8 * count_of(args.x), .bytes = bytes_of(args.x) + bytes_of(args.y)};
}
Cost cost_of(const NormBackward& args) {
  return {
      .flops = 14 * count_of(args.x),
      .bytes = bytes_of(args.dy) + bytes_of(args.x) + bytes_of(args.residual_gradient) + bytes_of(args.dx)};
}
Cost cost_of(const ActivationForward& args) {
  return {.flops = 20 * count_of(args.x), .bytes = bytes_of(args.x) + bytes_of(args.y)};
}
Cost cost_of(const ActivationBackward& args) {
  return {.flops = 26 * count_of(args.x), .bytes = bytes_of(args.x) + bytes_of(args.dy) + bytes_of(args.dx)};
}
Cost cost_of(const HeadRotationForward& args) {
  return {.flops = 6 * count_of(args.x), .bytes = bytes_of(args.x) + bytes_of(args.y)};
}
Cost cost_of(const HeadRotationBackward& args) {
  return {.flops = 6 * count_of(args.dy), .bytes = bytes_of(args.dy) + bytes_of(args.dx)};
}
Cost cost_of(const BiasDropoutResidual& args) {
  return {.flops = 3 * count_of(args.x),
          .bytes = bytes_of(args.x) + bytes_of(args.residual) + bytes_of(args.y)};
}
Cost cost_of(const DropoutBackward& args) {
  return {.flops = count_of(args.dy), .bytes = bytes_of(args.dy) + bytes_of(args.dx)};
}
Cost cost_of(const EmbeddingForward& args) {
  const double rows_read = args.position_table.empty() ? 1 : 2;
  return {.flops = count_of(args.y), .bytes = (rows_read + 1) * bytes_of(args.y)};
}
Cost cost_of(const EmbeddingBackward& args) {
  // Each token reads and writes an element per feature and table.
  const double tables = args.dposition_table.empty() ? 1 : 2;
  return {.flops = tables * count_of(args.dy),
          .bytes = bytes_of(args.dy) +
                   2 * tables * static_cast<double>(size_of(args.dtoken_table.dtype)) * count_of(args.dy)};
}
Cost cost_of(const SoftCap& args) {
  return {.flops = 15 * count_of(args.logits), .bytes = 2 * bytes_of(args.logits)};
}
Cost cost_of(const CrossEntropyForward& args) {
  return {.flops = 15 * count_of(args.logits), .bytes = bytes_of(args.logits)};
}
Cost cost_of(const CrossEntropyPartial& args) {
  return {.flops = 15 * count_of(args.logits), .bytes = bytes_of(args.logits)};
}
Cost cost_of(const CrossEntropyJoin& args) {
  return {.flops = 15 * count_of(args.partials),
          .bytes = bytes_of(args.partials) + bytes_of(args.log_sum_exp)};
}
Cost cost_of(const CrossEntropyBackward& args) {
  return {.flops = 15 * count_of(args.logits), .bytes = bytes_of(args.logits) + bytes_of(args.dlogits)};
}
Cost cost_of(const LossSum& args) {
  return {.flops = 2 * count_of(args.log_probability),
          .bytes = bytes_of(args.log_probability) + count_of(args.log_probability)};  // and the mask
}
Cost cost_of(const TreeSum& args) {
  return {.flops = count_of(args.parts) - count_of(args.y), .bytes = bytes_of(args.parts) + bytes_of(args.y)};
}
Cost cost_of(const RankSum& args) {
  return {.flops = count_of(args.parts) - count_of(args.y), .bytes = bytes_of(args.parts) + bytes_of(args.y)};
}
Cost cost_of(const RowLookup& args) {
  return {.flops = 0, .bytes = 2 * bytes_of(args.y)};
}
Cost cost_of(const RowSelect& args) {
  return {.flops = 0, .bytes = 2 * bytes_of(args.y)};
}
Cost cost_of(const ColumnPieces& args) {
  return {.flops = 0, .bytes = 2 * bytes_of(args.whole)};
}
Cost cost_of(const SquaredNorm& args) {
  return {.flops = 8 * count_of(args.gradient), .bytes = bytes_of(args.gradient)};
}
Cost cost_of(const AdamUpdate& args) {
  return {.flops = 16 * count_of(args.gradient),
          .bytes = bytes_of(args.gradient) +
                   2 * (bytes_of(args.master) + bytes_of(args.m) + bytes_of(args.v)) +
                   bytes_of(args.working)};
}
Cost cost_of(const Cast& args) {
  return {.flops = count_of(args.from), .bytes = bytes_of(args.from) + bytes_of(args.to)};
}
Cost cost_of_digest(const Tensor& values) {
  return {.flops = 0, .bytes = bytes_of(values)};  // integers only
}
Cost cost_of_zero(const Tensor& tensor) {
  return {.flops = 0, .bytes = bytes_of(tensor)};
}
Cost cost_of_finite_check(const Tensor& tensor) {
  return {.flops = 0, .bytes = bytes_of(tensor)};
}

}  // namespace megalith
