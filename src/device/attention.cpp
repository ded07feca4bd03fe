#include "device/attention.h"

namespace megalith {
namespace {

// (query, key) pairs that see each other, per head.
double visible_pairs(const AttentionShape& shape, const std::int32_t* document_start) {
  const double sequence = static_cast<double>(shape.sequence);
  if (document_start == nullptr) return static_cast<double>(shape.sequences) * sequence * (sequence + 1) / 2;
  double pairs = 0;
  for (std::int64_t t = 0; t < shape.sequences * shape.sequence; ++t) {
    pairs += static_cast<double>(t % shape.sequence - document_start[t] + 1);
  }
  return pairs;
}

double bytes_of(const Tensor& tensor) {
  return static_cast<double>(tensor.count()) * static_cast<double>(size_of(tensor.dtype));
}

}  // namespace

Cost cost_of(const AttentionForward& args) {
  const double pairs = visible_pairs(args.shape, args.document_start) * args.shape.heads;
  double bytes = 0;
  for (const Tensor* t : {&args.q, &args.k, &args.v, &args.out, &args.log_sum_exp}) bytes += bytes_of(*t);
  return {.flops = 4.0 * pairs * args.shape.head_size, .bytes = bytes};  // q k, p v
}

Cost cost_of(const AttentionBackward& args) {
  const double pairs = visible_pairs(args.shape, args.document_start) * args.shape.heads;
  double bytes = 0;
  for (const Tensor* t :
       {&args.q, &args.k, &args.v, &args.out, &args.dout, &args.log_sum_exp, &args.dq, &args.dk, &args.dv}) {
    bytes += bytes_of(*t);
  }
  return {.flops = 10.0 * pairs * args.shape.head_size, .bytes = bytes};  // q k again, dout v, dq, dk, dv
}

}  // namespace megalith
