// The instances of the product kernels that are built, and which one a launch means.
#pragma once

#include "device/cuda/kernels/fma_product.h"
#include "device/cuda/kernels/tensor_core_product.h"
#include "device/cuda/launch_shape.h"

namespace megalith::cuda {

// How chains lie in the operands: along the rows of x, w and dy where a row is summed, across them otherwise.
template <ProductForm form>
struct FormTraits {
  static constexpr bool kGradient = form == ProductForm::weight_gradient;
  static constexpr bool kAlongA = !kGradient;
  static constexpr bool kAlongB = form == ProductForm::forward;
};

template <class T>
struct FmaInstance {
  // Calls body.template operator()<form, levels>().
  template <class Body>
  static void call(const ProductLaunch& how, Body&& body) {
    switch (how.form) {
      case ProductForm::forward:
        return with_levels<ProductForm::forward>(how.levels, body);
      case ProductForm::input_gradient:
        return with_levels<ProductForm::input_gradient>(how.levels, body);
      case ProductForm::weight_gradient:
        return body.template operator()<ProductForm::weight_gradient, 0>();
    }
  }

 private:
  template <ProductForm form, class Body>
  static void with_levels(int levels, Body&& body) {
    if (levels == 0) return body.template operator()<form, 0>();
    if (levels == 3) return body.template operator()<form, 3>();
    return body.template operator()<form, 6>();
  }
};

using WideTile = TensorCoreTile<128, 128, 2, 4, 0>;
using TreeTile = TensorCoreTile<64, 128, 2, 4, 3>;
using DeepTile = TensorCoreTile<64, 64, 4, 2, 6>;
using NarrowTile = TensorCoreTile<16, 128, 1, 8, 6>;
using GradientTile = TensorCoreTile<64, 128, 2, 4, 0>;

struct TensorCoreInstance {
  // Calls body.template operator()<form, Tile>().
  template <class Body>
  static void call(const ProductLaunch& how, Body&& body) {
    switch (how.form) {
      case ProductForm::forward:
        return with_tile<ProductForm::forward>(how.tiling, body);
      case ProductForm::input_gradient:
        return with_tile<ProductForm::input_gradient>(how.tiling, body);
      case ProductForm::weight_gradient:
        return body.template operator()<ProductForm::weight_gradient, GradientTile>();
    }
  }

 private:
  template <ProductForm form, class Body>
  static void with_tile(TensorCoreTiling tiling, Body&& body) {
    switch (tiling) {
      case TensorCoreTiling::wide:
        return body.template operator()<form, WideTile>();
      case TensorCoreTiling::tree:
        return body.template operator()<form, TreeTile>();
      case TensorCoreTiling::deep:
        return body.template operator()<form, DeepTile>();
      case TensorCoreTiling::narrow:
      case TensorCoreTiling::gradient:  // weight gradients only
        return body.template operator()<form, NarrowTile>();
    }
  }
};

}  // namespace megalith::cuda
