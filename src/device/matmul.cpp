#include "device/matmul.h"

#include "device/int8_block.h"

namespace megalith {
namespace {

double bytes_of(const Tensor& tensor) {
  return static_cast<double>(tensor.count()) * static_cast<double>(size_of(tensor.dtype));
}

// Integers and scales of whole blocks: each leaf's last is padded.
double int8_bytes(const Tensor& w, const SumOrder& order) {
  const std::int64_t leaf = w.columns() / order.leaves;
  const std::int64_t blocks = order.leaves * ((leaf + kInt8Block - 1) / kInt8Block);
  return static_cast<double>(w.rows() * blocks) * static_cast<double>(kInt8Block + sizeof(bf16));
}

Cost product_cost(const Tensor& a, const Tensor& b, const Tensor& result, std::int64_t summed,
                  double passes) {
  return {.flops = 2.0 * static_cast<double>(result.count()) * static_cast<double>(summed),
          .bytes = bytes_of(a) + bytes_of(b) + passes * bytes_of(result)};
}

}  // namespace

Cost cost_of(const ForwardProduct& args) {
  Cost cost = product_cost(args.x, args.w, args.y, args.x.columns(), 1);
  if (args.packed != nullptr && args.packed_as == WeightFormat::q8_0)
    cost.bytes += int8_bytes(args.w, args.order) - bytes_of(args.w);
  return cost;
}
Cost cost_of(const InputGradientProduct& args) {
  return product_cost(args.dy, args.w, args.dx, args.dy.columns(), 1);
}
Cost cost_of(const WeightGradientProduct& args) {
  return product_cost(args.dy, args.x, args.dw, args.dy.rows(), 2);  // gradients are read and written
}
Cost cost_of(const BiasGradient& args) {
  return {.flops = static_cast<double>(args.dy.count()), .bytes = bytes_of(args.dy) + 2 * bytes_of(args.db)};
}

}  // namespace megalith
