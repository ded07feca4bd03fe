#include "core/tensor.h"

namespace megalith {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return 4;
    case DType::bf16:
      return 2;
    case DType::i64:
      return 8;
    case DType::i32:
      return 4;
    case DType::u8:
      return 1;
  }
  return 0;
}

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::i64:
      return "i64";
    case DType::i32:
      return "i32";
    case DType::u8:
      return "u8";
  }
  return "?";
}

Tensor::Tensor(void* data_, DType dtype_, std::initializer_list<std::int64_t> extents)
    : data(data_), dtype(dtype_) {
  MEGALITH_CHECK(extents.size() >= 1 && extents.size() <= 4, "{} dimensions", extents.size());
  std::size_t dimension = 4 - extents.size();
  for (const std::int64_t extent : extents) {
    MEGALITH_CHECK(extent >= 0, "negative extent {}", extent);
    shape[dimension++] = extent;
  }
  row_stride = shape[3];
}

Tensor Tensor::flattened() const {
  MEGALITH_CHECK(dense(), "{} has gaps between its rows", describe(*this));
  return {data, dtype, {count()}};
}

Tensor Tensor::row_slice(std::int64_t begin, std::int64_t length) const {
  MEGALITH_CHECK(begin >= 0 && length >= 0 && begin + length <= rows(), "{} + {} of {}", begin, length,
                 rows());
  Tensor slice = *this;
  slice.data = static_cast<char*>(data) + static_cast<std::size_t>(begin * row_stride) * size_of(dtype);
  slice.shape = {1, 1, length, columns()};
  return slice;
}

Tensor Tensor::column_slice(std::int64_t begin, std::int64_t length) const {
  MEGALITH_CHECK(begin >= 0 && length >= 0 && begin + length <= columns(), "{} + {} of {}", begin, length,
                 columns());
  Tensor slice = *this;
  slice.data = static_cast<char*>(data) + static_cast<std::size_t>(begin) * size_of(dtype);
  slice.shape = {1, 1, rows(), length};
  return slice;
}

std::string describe(const Tensor& tensor) {
  std::string text = fmt::format("{}[", name_of(tensor.dtype));
  int dimension = 0;
  while (dimension < 3 && tensor.shape[dimension] == 1) ++dimension;
  for (int d = dimension; d < 4; ++d) text += fmt::format("{}{}", d == dimension ? "" : "x", tensor.shape[d]);
  return text + "]";
}

}  // namespace megalith
