// The optimizer's operations: the bits of the CPU device.
#include <bit>
#include <cmath>

#include "device/cpu/cpu_device.h"
#include "device/cuda/checked_device.h"

namespace megalith::test {
namespace {

constexpr GradientScale kScale{.shift = 34, .divisor = 3000};

struct Host {
  ThreadPool pool{1};
  std::unique_ptr<OptimizerOps> optimizer = cpu::make_optimizer(pool, cpu::available_isas().back());
};

// From 2^54 down to single digits of the last place.
Twin gradients(CheckedDevice& device, std::int64_t count) {
  std::mt19937_64 random(1);
  Twin gradient = Twin::zeros(device, DType::i64, 1, count);
  for (std::int64_t i = 0; i < count; ++i) {
    gradient.set_integer(i, static_cast<std::int64_t>(random()) >> (i % 52 + 10));
  }
  gradient.upload();
  return gradient;
}

std::vector<std::int64_t> counts(const CheckedDevice& device) {
  if (device.emulated()) return {1, 3, 4, 5000, 40007};
  return {1, 3, 4, 40007, 50'000'003};
}

Tensor slice(const Tensor& vector, std::int64_t begin, std::int64_t count) {
  return {static_cast<std::byte*>(vector.data) + static_cast<std::size_t>(begin) * size_of(vector.dtype),
          vector.dtype,
          {count}};
}

void squared_norm_has_the_cpus_bits_for_any_cut(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const std::int64_t count : counts(device)) {
    Twin gradient = gradients(device, count);
    const SquareSum expected =
        host.optimizer->squared_norm({.gradient = gradient.host_vector(), .scale = kScale});
    const Tensor all = gradient.device_vector();
    findings.expect(device.optimizer().squared_norm({.gradient = all, .scale = kScale}) == expected,
                    fmt::format("squared norm of {}", count));
    const std::int64_t cut = count / 3;
    SquareSum parts =
        device.optimizer().squared_norm({.gradient = slice(all, cut, count - cut), .scale = kScale});
    parts.add(device.optimizer().squared_norm({.gradient = slice(all, 0, cut), .scale = kScale}));
    findings.expect(parts == expected, fmt::format("squared norm of {} in two parts", count));
  }
}

void adam_has_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const std::int64_t count : counts(device)) {
    for (const DType working_type : {DType::bf16, DType::f32, DType::i64}) {  // i64: none
      const std::int64_t shift = count > 100 ? 1 : 0;                         // also from an odd address
      Twin gradient = gradients(device, count + shift);
      Twin master(device, DType::f32, 1, count + shift, 2);
      Twin m(device, DType::f32, 1, count + shift, 3, 1e-3);
      Twin v = Twin::zeros(device, DType::f32, 1, count + shift);
      for (std::int64_t i = 0; i < count; ++i) v.set(0, i, 1e-3f * m.at(0, i) * m.at(0, i));
      v.upload();
      Twin working(device, working_type == DType::i64 ? DType::f32 : working_type, 1, count + shift, 4);
      const auto update = [&](OptimizerOps& ops, bool on_host, std::int64_t begin, std::int64_t length) {
        const auto part = [&](Twin& twin) {
          return slice(on_host ? twin.host_vector() : twin.device_vector(), begin, length);
        };
        ops.update({.gradient = part(gradient),
                    .master = part(master),
                    .m = part(m),
                    .v = part(v),
                    .working = working_type == DType::i64 ? Tensor{} : part(working),
                    .scale = kScale,
                    .clip = 0.5f,
                    .rate = 1e-2f,
                    .epsilon = 1e-8f,
                    .decay = 0.1f,
                    .bias_correction1 = 1.2f,
                    .bias_correction2 = 1.7f});
      };
      for (const std::int64_t begin : {std::int64_t{0}, shift}) {
        update(*host.optimizer, true, begin, count);
        update(device.optimizer(), false, begin, count);
      }
      const std::string what = fmt::format("AdamW of {}, working {}", count, name_of(working_type));
      master.expect_equal(findings, what + ", master");
      m.expect_equal(findings, what + ", m");
      v.expect_equal(findings, what + ", v");
      working.expect_equal(findings, what + ", working");
    }
  }
}

void adam_is_close_to_float64(CheckedDevice& device, Findings& findings) {
  constexpr std::int64_t kCount = 1000;
  Twin gradient = gradients(device, kCount);
  Twin master(device, DType::f32, 1, kCount, 2);
  Twin m(device, DType::f32, 1, kCount, 3, 1e-3);
  Twin v = Twin::zeros(device, DType::f32, 1, kCount);
  const Twin before = master;
  const Twin m_before = m;
  device.optimizer().update({.gradient = gradient.device_vector(),
                             .master = master.device_vector(),
                             .m = m.device_vector(),
                             .v = v.device_vector(),
                             .working = {},
                             .scale = kScale,
                             .clip = 0.5f,
                             .rate = 1e-2f,
                             .decay = 0.1f,
                             .bias_correction1 = 1.2f,
                             .bias_correction2 = 1.7f});
  master.download();
  const auto* fixed = gradient.host_vector().as<std::int64_t>();
  for (std::int64_t i = 0; i < kCount; ++i) {
    const double g = 0.5 * std::ldexp(static_cast<double>(fixed[i]), -kScale.shift) / kScale.divisor;
    const double new_m = 0.9 * m_before.at(0, i) + 0.1 * g;
    const double new_v = 0.05 * g * g;
    const double step = new_m * 1.2 / (std::sqrt(new_v * 1.7) + 1e-8);
    const double expected = before.at(0, i) - 1e-2 * (step + 0.1 * before.at(0, i));
    findings.expect(std::fabs(master.at(0, i) - expected) <= 1e-5 * (1 + std::fabs(expected)),
                    fmt::format("AdamW: {} instead of {}", master.at(0, i), expected));
  }
}

void casts_have_the_cpus_bits(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const std::int64_t count : counts(device)) {
    for (const DType to_type : {DType::bf16, DType::f32}) {
      Twin from(device, DType::f32, 1, count, 1, 1e3);
      Twin to(device, to_type, 1, count, 2);
      if (count > 2) from.set(0, 2, NAN);
      if (count > 3) from.set(0, 3, 0x1p-130f);
      from.upload();
      host.optimizer->cast({.from = from.host_vector(), .to = to.host_vector()});
      device.optimizer().cast({.from = from.device_vector(), .to = to.device_vector()});
      to.expect_equal(findings, fmt::format("cast of {} to {}", count, name_of(to_type)));
    }
  }
}

void digests_have_the_cpus_bits_for_any_cut(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const std::int64_t count : counts(device)) {
    Twin values(device, DType::f32, 1, count, 1);
    const std::uint64_t expected = host.optimizer->digest(values.host_vector(), 100);
    const Tensor all = values.device_vector();
    findings.expect(device.optimizer().digest(all, 100) == expected, fmt::format("digest of {}", count));
    const std::int64_t cut = count / 2;
    findings.expect(device.optimizer().digest(slice(all, 0, cut), 100) +
                            device.optimizer().digest(slice(all, cut, count - cut),
                                                      100 + static_cast<std::uint64_t>(cut)) ==
                        expected,
                    fmt::format("digest of {} in two parts", count));
  }
}

void one_bad_element_is_found_anywhere(CheckedDevice& device, Findings& findings) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Twin values(device, dtype, 67, 300, 1, 1, 4);
    values.set(3, 300, NAN);  // not ours
    values.upload();
    findings.expect(device.optimizer().all_finite(values.device()), "finite values");
    for (const auto& [row, column] : {std::pair{0, 0}, std::pair{66, 299}, std::pair{31, 257}}) {
      for (const float bad : {NAN, -INFINITY}) {
        values.set(row, column, bad);
        values.upload();
        findings.expect(!device.optimizer().all_finite(values.device()),
                        fmt::format("{} at {}, {}", bad, row, column));
      }
      values.set(row, column, 1.0f);
    }
  }
}

void zero_clears_and_touches_nothing_else(CheckedDevice& device, Findings& findings) {
  Host host;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Twin values(device, dtype, 1, 1001, 1, 1, 7);
    host.optimizer->zero(values.host_vector());
    device.optimizer().zero(values.device_vector());
    values.expect_equal(findings, "zero");
    findings.expect(values.at(0, 1000) == 0 && values.at(0, 1001) != 0, "zero on the host");
  }
}

constexpr KernelCheck kChecks[] = {
    {"squared norm has the CPU's bits for any cut", squared_norm_has_the_cpus_bits_for_any_cut},
    {"AdamW has the CPU's bits", adam_has_the_cpus_bits},
    {"AdamW is close to float64", adam_is_close_to_float64},
    {"casts have the CPU's bits", casts_have_the_cpus_bits},
    {"digests have the CPU's bits for any cut", digests_have_the_cpus_bits_for_any_cut},
    {"one bad element is found anywhere", one_bad_element_is_found_anywhere},
    {"zero clears and touches nothing else", zero_clears_and_touches_nothing_else},
};

}  // namespace

std::span<const KernelCheck> optimizer_checks() {
  return kChecks;
}

}  // namespace megalith::test
