// What operations are called in a profile, and which of their sizes tell their kinds apart.
#pragma once

#include "device/device.h"
#include "device/profile/operation_log.h"

namespace megalith::profile {

inline OperationLabel matrix_label(const char* name, const Tensor& tensor) {
  return {.name = name, .dtype = tensor.dtype, .sizes = {tensor.rows(), tensor.columns()}};
}
inline OperationLabel count_label(const char* name, const Tensor& tensor) {
  return {.name = name, .dtype = tensor.dtype, .sizes = {tensor.count()}};
}

// Products: tokens, outputs, inputs.
inline OperationLabel label_of(const ForwardProduct& a) {
  return {.name = "product forward",
          .dtype = a.x.dtype,
          .arithmetic = a.x.dtype,
          .sizes = {a.x.rows(), a.y.columns(), a.x.columns()}};
}
inline OperationLabel label_of(const InputGradientProduct& a) {
  return {.name = "product input gradient",
          .dtype = a.dy.dtype,
          .arithmetic = a.dy.dtype,
          .sizes = {a.dy.rows(), a.dy.columns(), a.dx.columns()}};
}
inline OperationLabel label_of(const WeightGradientProduct& a) {
  return {.name = "product weight gradient",
          .dtype = a.dy.dtype,
          .arithmetic = a.dy.dtype,
          .sizes = {a.dy.rows(), a.dy.columns(), a.x.columns()}};
}
inline OperationLabel label_of(const BiasGradient& a) {
  return matrix_label("bias gradient", a.dy);
}

// Sequences, tokens of one, heads, head size.
inline OperationLabel attention_label(const char* name, const AttentionShape& shape, DType dtype) {
  return {.name = name,
          .dtype = dtype,
          .arithmetic = dtype,
          .sizes = {shape.sequences, shape.sequence, shape.heads, shape.head_size}};
}
inline OperationLabel label_of(const AttentionForward& a) {
  return attention_label("attention forward", a.shape, a.q.dtype);
}
inline OperationLabel label_of(const AttentionBackward& a) {
  return attention_label("attention backward", a.shape, a.q.dtype);
}
inline OperationLabel label_of(const CachedAttention& a) {
  return {.name = "attention cached",
          .dtype = a.q.dtype,
          .arithmetic = a.q.dtype,
          .sizes = {a.rows, a.shape.heads, a.shape.head_size}};
}
inline OperationLabel label_of(const CacheAppend& a) {
  return matrix_label("cache append", a.k);
}

inline OperationLabel label_of(const NormForward& a) {
  return matrix_label(a.norm == Norm::layer ? "layer norm forward" : "rms norm forward", a.x);
}
inline OperationLabel label_of(const NormBackward& a) {
  return matrix_label(a.norm == Norm::layer ? "layer norm backward" : "rms norm backward", a.x);
}
inline OperationLabel label_of(const ActivationForward& a) {
  return matrix_label("activation forward", a.y);
}
inline OperationLabel label_of(const ActivationBackward& a) {
  return matrix_label("activation backward", a.dx);
}
inline OperationLabel label_of(const HeadRotationForward& a) {
  return matrix_label("head rotation forward", a.x);
}
inline OperationLabel label_of(const HeadRotationBackward& a) {
  return matrix_label("head rotation backward", a.dy);
}
inline OperationLabel label_of(const BiasDropoutResidual& a) {
  return matrix_label("bias, dropout, residual", a.y);
}
inline OperationLabel label_of(const DropoutBackward& a) {
  return matrix_label("dropout backward", a.dy);
}
inline OperationLabel label_of(const EmbeddingForward& a) {
  return matrix_label("embedding forward", a.y);
}
inline OperationLabel label_of(const EmbeddingBackward& a) {
  return matrix_label("embedding backward", a.dy);
}

inline OperationLabel label_of(const SoftCap& a) {
  return matrix_label("logit soft cap", a.logits);
}
inline OperationLabel label_of(const CrossEntropyForward& a) {
  return matrix_label("cross entropy forward", a.logits);
}
inline OperationLabel label_of(const CrossEntropyPartial& a) {
  return matrix_label("cross entropy partial", a.logits);
}
inline OperationLabel label_of(const CrossEntropyJoin& a) {
  return matrix_label("cross entropy join", a.log_sum_exp);
}
inline OperationLabel label_of(const CrossEntropyBackward& a) {
  return matrix_label("cross entropy backward", a.dlogits);
}
inline OperationLabel label_of(const LossSum& a) {
  return count_label("loss sum", a.log_probability);
}

inline OperationLabel label_of(const TreeSum& a) {
  return {.name = "tree sum", .dtype = a.y.dtype, .sizes = {a.parts.shape[1], a.y.rows(), a.y.columns()}};
}
inline OperationLabel label_of(const RankSum& a) {
  return {.name = "rank sum", .dtype = a.y.dtype, .sizes = {a.parts.rows(), a.y.count()}};
}
inline OperationLabel label_of(const RowLookup& a) {
  return matrix_label("row lookup", a.y);
}
inline OperationLabel label_of(const RowSelect& a) {
  return matrix_label("row select", a.y);
}
inline OperationLabel label_of(const ColumnPieces& a) {
  return matrix_label("column pieces", a.whole);
}

inline OperationLabel label_of(const SquaredNorm& a) {
  return count_label("squared norm", a.gradient);
}
inline OperationLabel label_of(const AdamUpdate& a) {
  return count_label("adamw", a.master);
}
inline OperationLabel label_of(const Cast& a) {
  return count_label("cast", a.to);
}

}  // namespace megalith::profile
