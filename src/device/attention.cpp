#include "device/attention.h"

#include <algorithm>

namespace megalith {
namespace {

// (query, key) pairs that see each other, per head.
double visible_pairs(const AttentionShape& shape, const std::int32_t* document_start) {
  const std::int64_t window = shape.window == 0 ? shape.sequence : shape.window;
  const auto seen = [&](std::int64_t t) {
    const std::int64_t start = document_start == nullptr ? 0 : document_start[t];
    return static_cast<double>(std::min(t % shape.sequence - start + 1, window));
  };
  double pairs = 0;
  if (document_start == nullptr) {
    for (std::int64_t t = 0; t < shape.sequence; ++t) pairs += seen(t);
    return pairs * static_cast<double>(shape.sequences);
  }
  for (std::int64_t t = 0; t < shape.sequences * shape.sequence; ++t) pairs += seen(t);
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

Cost cost_of(const CachedAttention& args) {
  double pairs = 0;  // per head
  double keys = 0;   // read, of any slot
  std::int64_t read_to = -1;
  for (std::int64_t r = 0; r < args.rows; ++r) {
    const std::int64_t position = args.position == nullptr ? args.k_cache.shape[2] - 1 : args.position[r];
    const std::int64_t seen =
        args.shape.window == 0 ? position + 1 : std::min(position + 1, args.shape.window);
    pairs += static_cast<double>(seen);
    const bool same_slot = r > 0 && (args.slot == nullptr || args.slot[r] == args.slot[r - 1]);
    if (!same_slot) read_to = -1;
    keys += static_cast<double>(std::max<std::int64_t>(0, position - std::max(read_to, position - seen)));
    read_to = std::max(read_to, position);
  }
  const double key_bytes = static_cast<double>(args.k_cache.columns()) *
                           static_cast<double>(size_of(args.k_cache.dtype) + size_of(args.v_cache.dtype));
  return {.flops = 4.0 * pairs * args.shape.heads * args.shape.head_size,
          .bytes = bytes_of(args.q) + bytes_of(args.out) + keys * key_bytes};
}

Cost cost_of(const CacheAppend& args) {
  return {.flops = 0, .bytes = 2 * (bytes_of(args.k) + bytes_of(args.v))};
}

}  // namespace megalith
