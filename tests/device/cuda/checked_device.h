// A device whose kernels are compared with the CPU's: a GPU, or the emulated one. The checks know nothing of
// test frameworks, so that they also run on machines that have none (bench/gpu).
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "device/cuda/product_plan.h"
#include "device/elementwise.h"
#include "device/matmul.h"
#include "device/optimizer.h"

namespace megalith::test {

class CheckedDevice {
 public:
  virtual ~CheckedDevice() = default;
  virtual MatmulOps& products(cuda::ProductMode mode) = 0;
  virtual ElementwiseOps& elementwise() = 0;
  virtual OptimizerOps& optimizer() = 0;
  virtual void* allocate(std::size_t bytes) = 0;  // 64-byte aligned; all is given back with the device
  virtual void upload(void* device, const void* host, std::size_t bytes) = 0;
  virtual void download(void* host, const void* device, std::size_t bytes) = 0;
  virtual void wait() = 0;
  // Small shapes only, and mma adds in fp64.
  [[nodiscard]] virtual bool emulated() const = 0;
};

// What a check found wrong.
class Findings {
 public:
  void expect(bool condition, const std::string& what) {
    if (!condition && problems_.size() < 8) problems_.push_back(what);
  }
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

struct KernelCheck {
  const char* name;
  void (*run)(CheckedDevice& device, Findings& findings);
};
// Together: everything docs/cuda.md lists.
std::span<const KernelCheck> rowwise_checks();
std::span<const KernelCheck> optimizer_checks();
std::span<const KernelCheck> product_checks();

// The same numbers on the host and on a device. Rows may be longer than what is looked at; nobody may touch
// the rest.
class Twin {
 public:
  // Nearly normal deviates: sums of four uniform ones, because large products want many.
  Twin(CheckedDevice& device, DType dtype, std::int64_t rows, std::int64_t columns, std::uint32_t seed,
       double deviation = 1, std::int64_t extra_columns = 0)
      : Twin(device, dtype, rows, columns, Extra{extra_columns}) {
    std::uint64_t state = seed * 0x9E3779B97F4A7C15u;
    const float scale = static_cast<float>(deviation) * 1.7320508f / 65536.0f;
    for (std::int64_t i = 0; i < rows * stride_; ++i) {
      std::uint64_t bits = state += 0x9E3779B97F4A7C15u;  // splitmix64
      bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9u;
      bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EBu;
      bits ^= bits >> 31;
      const std::uint64_t sum =
          (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
      store(i, (static_cast<float>(sum) - 131070.0f) * scale);
    }
    upload();
  }
  static Twin zeros(CheckedDevice& device, DType dtype, std::int64_t rows, std::int64_t columns,
                    std::int64_t extra_columns = 0) {
    return {device, dtype, rows, columns, Extra{extra_columns}};
  }

 private:
  struct Extra {
    std::int64_t columns;
  };
  Twin(CheckedDevice& device, DType dtype, std::int64_t rows, std::int64_t columns, Extra extra)
      : device_(&device),
        dtype_(dtype),
        rows_(rows),
        columns_(columns),
        stride_(columns + extra.columns),
        host_(static_cast<std::size_t>(rows * stride_) * size_of(dtype)),
        memory_(device.allocate(host_.size() + 64)) {
    upload();
  }

 public:
  [[nodiscard]] Tensor host() { return view(host_.data()); }
  [[nodiscard]] Tensor device() const { return view(memory_); }
  // As vectors, for what has one row.
  [[nodiscard]] Tensor host_vector() { return {host_.data(), dtype_, {columns_}}; }
  [[nodiscard]] Tensor device_vector() const { return {memory_, dtype_, {columns_}}; }

  [[nodiscard]] float at(std::int64_t row, std::int64_t column) const { return load(row * stride_ + column); }
  void set(std::int64_t row, std::int64_t column, float value) { store(row * stride_ + column, value); }
  void set_integer(std::int64_t index, std::int64_t value) {
    std::memcpy(host_.data() + index * 8, &value, sizeof(value));
  }
  void upload() { device_->upload(memory_, host_.data(), host_.size()); }
  // What the device has now.
  void download() { device_->download(host_.data(), memory_, host_.size()); }
  [[nodiscard]] std::vector<std::byte> downloaded() const {
    std::vector<std::byte> bytes(host_.size());
    device_->download(bytes.data(), memory_, bytes.size());
    return bytes;
  }

  // The device's copy has the host's bits everywhere; NaN equals NaN.
  void expect_equal(Findings& findings, const std::string& what) const {
    const std::vector<std::byte> got = downloaded();
    const std::size_t size = size_of(dtype_);
    for (std::size_t i = 0; i < got.size(); i += size) {
      if (std::memcmp(got.data() + i, host_.data() + i, size) == 0) continue;
      if (both_nan(got.data() + i, host_.data() + i)) continue;
      const auto index = static_cast<std::int64_t>(i / size);
      findings.expect(false, fmt::format("{}: row {}, column {}{}: {} instead of {}", what, index / stride_,
                                         index % stride_, index % stride_ < columns_ ? "" : " (not ours)",
                                         number(got.data() + i), number(host_.data() + i)));
      return;
    }
  }

 private:
  [[nodiscard]] Tensor view(void* memory) const {
    return Tensor(memory, dtype_, {rows_, stride_}).column_slice(0, columns_);
  }
  [[nodiscard]] float load(std::int64_t index) const { return float_at(host_.data() + bytes_to(index)); }
  void store(std::int64_t index, float value) {
    if (dtype_ == DType::f32) {
      std::memcpy(host_.data() + bytes_to(index), &value, 4);
    } else {
      const bf16 rounded = to_bf16(value);
      std::memcpy(host_.data() + bytes_to(index), &rounded, 2);
    }
  }
  [[nodiscard]] std::size_t bytes_to(std::int64_t index) const {
    return static_cast<std::size_t>(index) * size_of(dtype_);
  }
  [[nodiscard]] float float_at(const std::byte* from) const {
    float wide = 0;
    bf16 half;
    if (dtype_ == DType::f32) {
      std::memcpy(&wide, from, 4);
      return wide;
    }
    std::memcpy(&half, from, 2);
    return to_float(half);
  }
  [[nodiscard]] bool both_nan(const std::byte* a, const std::byte* b) const {
    if (dtype_ != DType::f32 && dtype_ != DType::bf16) return false;
    return float_at(a) != float_at(a) && float_at(b) != float_at(b);
  }
  [[nodiscard]] std::string number(const std::byte* from) const {
    if (dtype_ == DType::f32 || dtype_ == DType::bf16) return fmt::format("{:a}", float_at(from));
    std::int64_t value = 0;
    std::memcpy(&value, from, size_of(dtype_));
    return fmt::format("{}", value);
  }

  CheckedDevice* device_;
  DType dtype_;
  std::int64_t rows_, columns_, stride_;
  std::vector<std::byte> host_;
  void* memory_;
};

}  // namespace megalith::test
