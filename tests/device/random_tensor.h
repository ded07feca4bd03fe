// Random operands in memory of their own, with guard words behind them that nobody may touch.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/tensor.h"

namespace megalith::test {

// A [rows, columns] tensor, optionally a column slice of a wider one. Everything outside it is NaN.
class RandomTensor {
 public:
  RandomTensor(DType dtype, std::int64_t rows, std::int64_t columns, std::uint32_t seed, double deviation = 1,
               std::int64_t extra_columns = 0)
      : dtype_(dtype), rows_(rows), columns_(columns), stride_(columns + extra_columns) {
    const std::size_t count = static_cast<std::size_t>(rows_ * stride_) + kGuard;
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0, static_cast<float>(deviation));
    floats_.assign(count, NAN);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < columns; ++c)
        floats_[static_cast<std::size_t>(r * stride_ + c)] = normal(random);
    }
    if (dtype == DType::f32) return;
    for (float& value : floats_) {
      halves_.push_back(to_bf16(value));
      value = to_float(halves_.back());
    }
  }
  [[nodiscard]] Tensor tensor() {
    void* data =
        dtype_ == DType::f32 ? static_cast<void*>(floats_.data()) : static_cast<void*>(halves_.data());
    Tensor whole(data, dtype_, {rows_, stride_});
    return whole.column_slice(0, columns_);
  }
  [[nodiscard]] float at(std::int64_t row, std::int64_t column) const {
    const auto i = static_cast<std::size_t>(row * stride_ + column);
    return dtype_ == DType::f32 ? floats_[i] : to_float(halves_[i]);
  }
  void set(std::int64_t row, std::int64_t column, float value) {
    const auto i = static_cast<std::size_t>(row * stride_ + column);
    floats_[i] = value;
    if (dtype_ == DType::bf16) halves_[i] = to_bf16(value);
  }
  // Nothing outside the tensor was written.
  void expect_guards_untouched() const {
    for (std::int64_t r = 0; r < rows_; ++r) {
      for (std::int64_t c = columns_; c < stride_; ++c) ASSERT_TRUE(std::isnan(at(r, c))) << r << "," << c;
    }
    for (std::size_t i = 0; i < kGuard; ++i) {
      ASSERT_TRUE(std::isnan(at(rows_, static_cast<std::int64_t>(i)))) << "behind the end";
    }
  }

 private:
  static constexpr std::size_t kGuard = 64;
  DType dtype_;
  std::int64_t rows_, columns_, stride_;
  std::vector<float> floats_;
  std::vector<bf16> halves_;
};

}  // namespace megalith::test
