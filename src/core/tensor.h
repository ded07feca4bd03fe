// Tensor: a non-owning, row-major view. Memory belongs to an Arena or to the caller.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "core/bf16.h"
#include "core/error.h"

namespace megalith {

enum class DType : std::uint8_t { f32, bf16, i64, i32, u8 };

std::size_t size_of(DType dtype);  // bytes per element
const char* name_of(DType dtype);  // "f32", "bf16", ...

template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bf16;
}
template <>
constexpr DType dtype_of<std::int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<std::int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<std::uint8_t>() {
  return DType::u8;
}

// Row-major with at most 4 dimensions. The last dimension is contiguous; `row_stride` is the distance in
// elements between neighbouring rows (the last dimension's runs), equal to the last extent unless the view is
// a column slice.
struct Tensor {
  void* data = nullptr;
  DType dtype = DType::f32;
  std::array<std::int64_t, 4> shape{1, 1, 1, 1};  // unused leading dimensions are 1; shape[3] is the last
  std::int64_t row_stride = 0;

  Tensor() = default;
  // A dense view of `data`. REQUIRES: 1 to 4 extents, none negative.
  Tensor(void* data, DType dtype, std::initializer_list<std::int64_t> extents);

  [[nodiscard]] bool empty() const { return data == nullptr; }
  [[nodiscard]] std::int64_t columns() const { return shape[3]; }
  [[nodiscard]] std::int64_t rows() const {
    return shape[0] * shape[1] * shape[2];
  }  // all but the last dimension
  [[nodiscard]] std::int64_t count() const { return rows() * columns(); }
  [[nodiscard]] bool dense() const { return row_stride == columns() || rows() <= 1; }
  [[nodiscard]] std::size_t size_in_bytes() const {
    return static_cast<std::size_t>(count()) * size_of(dtype);
  }

  // The typed start. REQUIRES: T matches dtype.
  template <class T>
  [[nodiscard]] T* as() const {
    MEGALITH_CHECK(dtype_of<T>() == dtype, "tensor is {}", name_of(dtype));
    return static_cast<T*>(data);
  }
  template <class T>
  [[nodiscard]] T* row(std::int64_t index) const {
    return as<T>() + index * row_stride;
  }

  // All elements in a row, as a vector, as memory and as values. REQUIRES: dense.
  [[nodiscard]] Tensor flattened() const;
  [[nodiscard]] std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(flattened().data), size_in_bytes()};
  }
  template <class T>
  [[nodiscard]] std::span<T> values() const {
    return {flattened().as<T>(), static_cast<std::size_t>(count())};
  }

  // Rows [begin, begin + length) of the matrix rows() x columns(), as 2-D.
  [[nodiscard]] Tensor row_slice(std::int64_t begin, std::int64_t length) const;
  // Columns [begin, begin + length) of the matrix rows() x columns(), as 2-D; not dense.
  [[nodiscard]] Tensor column_slice(std::int64_t begin, std::int64_t length) const;
};

std::string describe(const Tensor& tensor);  // "bf16[4x1024x768]"

// Calls f with a value of the matching floating type: with_float_type(t.dtype, [&]<class T>(T) {...}).
template <class F>
decltype(auto) with_float_type(DType dtype, F&& f) {
  MEGALITH_CHECK(dtype == DType::f32 || dtype == DType::bf16, "{} is not a compute dtype", name_of(dtype));
  if (dtype == DType::bf16) return f(bf16{});
  return f(float{});
}

}  // namespace megalith
