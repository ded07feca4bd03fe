// Kernels called as they are, once each, on small operands: bench/guard counts their instructions under
// callgrind, which are the same in every run and on every machine, where times are not.
//   bench_instructions                          lists what it can run
//   bench_instructions FAMILY KERNEL            runs one; counted_work() holds nothing but the kernel
//
// Kernels are called without the device above them: its threads insist on flushing denormals, which valgrind
// does not emulate. There are none among these operands, so no result and no count depends on it. Valgrind
// knows no AVX-512, so the families are portable and AVX2.

#include <fmt/format.h>

#include <functional>
#include <string>
#include <vector>

#include "device/cpu/elementwise/elementwise_kernels.h"
#include "device/cpu/loss/loss_kernels.h"
#include "device/cpu/matmul/int8_kernels.h"
#include "device/cpu/matmul/matmul_kernels.h"
#include "device/cpu/optimizer/optimizer_kernels.h"
#include "device/cpu/shards/shards_kernels.h"
#include "harness.h"

// Known to callgrind by its name.
extern "C" [[gnu::noinline]] void counted_work(const std::function<void()>& work) {
  work();
}

namespace megalith {
namespace {

constexpr std::int64_t kCount = 1024;  // of a row

struct Family {
  const char* name;
  cpu::MatmulKernels matmul;
  cpu::Int8Kernels int8;
  cpu::ElementwiseKernels<bf16> elementwise;
  cpu::LossKernels loss;
  cpu::OptimizerKernels optimizer;
  cpu::ShardKernels shards;
};

std::vector<Family> families() {
  return {
      {"portable", cpu::matmul_kernels_portable(), cpu::int8_kernels_portable(),
       cpu::elementwise_kernels_portable<bf16>(), cpu::loss_kernels_portable(),
       cpu::optimizer_kernels_portable(), cpu::shard_kernels_portable()},
      {"avx2", cpu::matmul_kernels_avx2(), cpu::int8_kernels_avx2(), cpu::elementwise_kernels_avx2<bf16>(),
       cpu::loss_kernels_avx2(), cpu::optimizer_kernels_avx2(), cpu::shard_kernels_avx2()}};
}

// Numbers between -2 and 2, none of them small.
struct Operands {
  Operands() {
    for (std::size_t i = 0; i < floats.size(); ++i) {
      const auto value = static_cast<float>(static_cast<int>(i * 2654435761u >> 20) % 33 - 16) / 8.0f;
      floats[i] = value == 0 ? 0.5f : value;
      halves[i] = to_bf16(floats[i]);
      integers[i] = static_cast<std::int64_t>(floats[i] * 0x1p30f);
    }
    squares.assign(squares.size(), 0.25f);
  }
  static constexpr std::size_t kSize = 32 * kCount;
  std::vector<float> floats = std::vector<float>(kSize), more = std::vector<float>(kSize),
                     squares = std::vector<float>(kSize);
  std::vector<bf16> halves = std::vector<bf16>(kSize), results = std::vector<bf16>(kSize);
  std::vector<std::int64_t> integers = std::vector<std::int64_t>(kSize);
  std::vector<std::int32_t> row = std::vector<std::int32_t>(kSize);
};

struct Workload {
  const char* name;
  std::function<void()> call;
};

std::vector<Workload> products(const Family& family, Operands& o) {
  const cpu::MatmulKernels& matmul = family.matmul;
  constexpr auto strips = std::size_t{kCount} / kInt8Block;
  const cpu::MatmulKernels::Tile tile_bf16 = matmul.tiles_bf16[cpu::kTileRows - 1];
  const cpu::MatmulKernels::Tile tile_f32 = matmul.tiles_f32[cpu::kTileRows - 1];
  return {{"product tile bf16",
           [&, tile_bf16] {
             tile_bf16(o.floats.data(), kCount, 1, o.floats.data(), kCount / 2 * matmul.bf16_terms_word,
                       {.to = o.more.data()});
           }},
          {"product tile f32",
           [&, tile_f32] {
             tile_f32(o.floats.data(), kCount, 1, o.floats.data(), kCount, {.to = o.more.data()});
           }},
          {"pack transposed bf16",
           [&] { matmul.pack_transposed_bf16(o.halves.data(), kCount, 16, kCount, o.more.data()); }},
          {"fixed point accumulate",
           [&] { matmul.accumulate(o.floats.data(), 0x1p20f, kCount, o.integers.data()); }},
          {"int8 row and tile", [&] {
             std::vector<std::byte> strip(strips * static_cast<std::size_t>(family.int8.block_bytes()));
             family.int8.quantise_row(o.floats.data(), static_cast<std::int64_t>(strips), o.row.data());
             family.int8.tiles[0](o.row.data(), 0, strip.data(), static_cast<std::int64_t>(strips),
                                  {.to = o.more.data()});
           }}};
}

std::vector<Workload> rows(const Family& family, Operands& o) {
  const auto& elementwise = family.elementwise;
  const cpu::Rows<const bf16> x{o.halves.data(), kCount};
  const cpu::Rows<bf16> y{o.results.data(), kCount};
  float* statistics = o.more.data();
  float* one = o.squares.data();
  std::vector<Workload> list = {
      {"layer norm forward",
       [=, &elementwise, &o] {
         elementwise.norm_forward(true, x, o.floats.data(), nullptr, 1e-5f, 8, kCount, y, statistics,
                                  statistics + 8);
       }},
      {"layer norm backward",
       [=, &elementwise, &o] {
         elementwise.norm_backward(true, x, x, one, one, o.floats.data(), x, 8, kCount, y);
       }},
      {"norm gradients",
       [=, &elementwise, &o] {
         elementwise.norm_gradients(x, x, one, one, 8, kCount, 0x1p20f, o.integers.data(), nullptr);
       }},
      {"bias and residual", [=, &elementwise, &o] {
         elementwise.bias_dropout_residual(o.floats.data(), one, nullptr, x.data, nullptr, kCount, y.data);
       }}};
  for (const auto& [activation, name] : {std::pair{Activation::gelu_tanh, "gelu (tanh)"},
                                         {Activation::gelu_erf, "gelu (erf)"},
                                         {Activation::swiglu, "swiglu"}}) {
    const bf16* up = is_gated(activation) ? x.data + kCount : nullptr;
    list.push_back({name, [=, &elementwise, activation = activation] {
                      elementwise.activate(activation, x.data, up, kCount, y.data);
                    }});
  }
  return list;
}

std::vector<Workload> sums(const Family& family, Operands& o) {
  const cpu::AdamScalars adam{.factor = 0x1p-30,
                              .clip = 1,
                              .rate = 1e-3,
                              .beta1 = 0.9,
                              .beta2 = 0.95,
                              .epsilon = 1e-8,
                              .decay = 0.1,
                              .bias_correction1 = 10,
                              .bias_correction2 = 20};
  return {{"softmax block", [&] { family.loss.block(o.floats.data(), kCount); }},
          {"softmax bf16",
           [&] {
             family.loss.softmax_bf16(o.floats.data(), {.greatest = 2, .sum = 100}, {}, kCount,
                                      o.results.data());
           }},
          {"square norm", [&] { family.optimizer.squares(o.integers.data(), 0x1p-30, kCount); }},
          {"adamw",
           [&, adam] {
             family.optimizer.adam(o.integers.data(), adam, kCount, o.floats.data(), o.more.data(),
                                   o.squares.data(), o.results.data(), nullptr);
           }},
          {"digest", [&] { family.optimizer.digest(o.floats.data(), 0, kCount); }},
          {"tree sum of 8",
           [&] { family.shards.tree_sum_bf16(o.floats.data(), kCount, 8, kCount, o.results.data()); }}};
}

std::vector<Workload> workloads(const Family& family, Operands& operands) {
  std::vector<Workload> all;
  for (const auto& part : {products(family, operands), rows(family, operands), sums(family, operands)})
    all.insert(all.end(), part.begin(), part.end());
  return all;
}

}  // namespace
}  // namespace megalith

int main(int argc, char** argv) {
  using namespace megalith;
  const bench::Options options = bench::parse_options(argc, argv);
  Operands operands;
  bool found = false;
  std::string names;
  for (const Family& family : families()) {
    for (const Workload& workload : workloads(family, operands)) {
      names += fmt::format("{} '{}'\n", family.name, workload.name);
      if (options.rest != std::vector<std::string>{family.name, workload.name}) continue;
      counted_work(workload.call);
      found = true;
    }
  }
  if (options.rest.empty()) fmt::print("{}", names);
  if (!found && !options.rest.empty())
    bench::refuse(fmt::format("{}", fmt::join(options.rest, " ")), "\n" + names);
}
